// Small parts that several views share.

import { html, useEffect, useRef, useState } from "./vendor/preact-htm.js";
import uPlot from "./vendor/uplot.js";
import { paint, state, subscribe } from "./link.js";

export function useStore() {
  const [, again] = useState(0);
  useEffect(() => subscribe(() => again((n) => n + 1)), []);
  return state;
}
// The value of a promise that is asked for anew when something changes.
export function useAsked(ask, changes) {
  const [value, set] = useState(null);
  useEffect(() => { let current = true; ask().then((v) => current && set(v), () => current && set(null)); return () => { current = false; }; }, changes);
  return [value, set];
}
export const Key = ({ children }) => html`<kbd>${children}</kbd>`;
export const clock = (s) => (s == null ? "–" : `${Math.floor(s / 60)}:${(s % 60).toFixed(1).padStart(4, "0")}`);
export const signed = (v, digits = 2) => (v == null ? "–" : (v < 0 ? "−" : "+") + Math.abs(v).toFixed(digits));
export const count = (n) => (n ?? 0).toLocaleString("en");
export const plural = (n, word) => `${count(n)} ${word}${n === 1 ? "" : "s"}`;

// A name in the workspace in words: rounds and policies of sessions lie deep in their folders.
export const titled = (name) => (name ?? "")
  .replace(/\/learner\/rounds\/round_0*(\d+)$/, ", round $1").replace(/\/learner\/policies\/round_0*(\d+)$/, ", policy of round $1")
  .replace(/\/learner\/policy$/, ", best policy").replace(/\/collected$/, ", round to train on").replace(/\/policy$/, "");

export function Image({ name }) {
  const canvas = useRef(null);
  useEffect(() => { paint(name, canvas.current); return () => paint(name, null); }, [name]);
  return html`<canvas ref=${canvas} width="320" height="160" aria-label=${name === "view" ? "the car" : `${name} camera`}></canvas>`;
}

export function Map({ outline, x, y, trace }) {
  if (!outline && !trace?.x.length) return null;
  const all = { x: [...(outline?.x ?? []), ...(trace?.x ?? [])], y: [...(outline?.y ?? []), ...(trace?.y ?? [])] };
  const [left, right] = [Math.min(...all.x), Math.max(...all.x)], [low, high] = [Math.min(...all.y), Math.max(...all.y)];
  const scale = 180 / Math.max(right - left, high - low, 1), at = (px, py) => [(px - left) * scale + 10, (high - py) * scale + 10];
  const line = (xs, ys) => xs.map((v, i) => `${i ? "L" : "M"}${at(v, ys[i]).map((n) => n.toFixed(1)).join(" ")}`).join("");
  const [width, height] = [(right - left) * scale + 20, (high - low) * scale + 20];
  return html`<svg class="map" viewBox=${`0 0 ${width} ${height}`} role="img" aria-label="map of the track">
    ${outline && html`<path d=${line(outline.x, outline.y) + "Z"} fill="none" stroke="var(--line)" stroke-width="9" stroke-linejoin="round" />
    <path d=${line(outline.x, outline.y) + "Z"} fill="none" stroke="var(--soft)" stroke-width="1" stroke-dasharray="3 3" />`}
    ${trace && html`<path d=${line(trace.x, trace.y)} fill="none" stroke="var(--accent)" stroke-width="2.2" />`}
    ${x != null && html`<circle cx=${at(x, y)[0]} cy=${at(x, y)[1]} r="6" fill="var(--accent)" stroke="var(--panel)" stroke-width="2.5" />`}
  </svg>`;
}

const variable = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// A chart; ``lines`` are {label, values, colour, dash, scale}, colours are names of CSS variables.
export function Plot({ x, lines, height = 170, xLabel, select, cursor, range, integers, axes }) {
  const box = useRef(null), plot = useRef(null), dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const shape = JSON.stringify([lines.map((l) => [l.label, l.colour, l.dash]), height, dark, axes]);
  useEffect(() => {
    const axis = { stroke: variable("--soft"), grid: { stroke: variable("--line"), width: 1 }, ticks: { stroke: variable("--line") }, font: "12px system-ui" };
    const options = {
      width: box.current.clientWidth || 300, height, legend: { show: true, live: false }, scales: { x: { time: false }, y: range ? { range } : {} },
      cursor: { drag: { x: !!select, y: false, setScale: false } },
      axes: [{ ...axis, ...(integers ? { incrs: [1, 2, 5, 10, 20, 50, 100] } : {}), label: xLabel, labelSize: 18, size: 34, labelFont: "12px system-ui" }, { ...axis, size: 48 }, ...(axes ? [{ ...axis, scale: axes, side: 1, size: 48, grid: { show: false }, values: (_, v) => v.map((n) => `${Math.round(100 * n)} %`) }] : [])],
      series: [{ label: xLabel ?? "x" }, ...lines.map((l) => ({
        label: l.label, stroke: variable(l.colour), width: 2, dash: l.dash, scale: l.scale ?? "y", points: { show: l.points ?? false, size: 7, fill: variable(l.colour) }, spanGaps: l.gaps ?? false,
      }))],
      hooks: {
        setSelect: [(u) => { if (select && u.select.width > 2) select.done(u.posToVal(u.select.left, "x"), u.posToVal(u.select.left + u.select.width, "x")); }],
        draw: [(u) => {
          for (const [from, to] of plot.current?.shaded ?? []) {
            u.ctx.fillStyle = variable("--stop") + "2e";
            const a = u.valToPos(from, "x", true), b = u.valToPos(to, "x", true);
            u.ctx.fillRect(a, u.bbox.top, Math.max(2, b - a), u.bbox.height);
          }
          const at = plot.current?.at;
          if (at != null) { u.ctx.fillStyle = variable("--ink"); u.ctx.fillRect(u.valToPos(at, "x", true) - 1, u.bbox.top, 2, u.bbox.height); }
        }],
        ready: [(u) => u.over.addEventListener("click", (event) => { if (select && u.select.width <= 2) select.pick(u.posToVal(event.offsetX, "x")); })],
      },
    };
    const made = new uPlot(options, [x, ...lines.map((l) => l.values)], box.current);
    plot.current = { made, shaded: select?.shaded, at: cursor };
    const sizes = new ResizeObserver(() => made.setSize({ width: box.current?.clientWidth || 300, height }));
    sizes.observe(box.current);
    return () => { sizes.disconnect(); made.destroy(); plot.current = null; };
  }, [shape]);
  useEffect(() => {
    if (!plot.current) return;
    plot.current.shaded = select?.shaded;
    plot.current.made.setData([x, ...lines.map((l) => l.values)]);
  }, [x, ...lines.map((l) => l.values), JSON.stringify(select?.shaded)]);
  useEffect(() => { if (plot.current) { plot.current.at = cursor; plot.current.made.redraw(false); } }, [cursor]);
  return html`<div class="plot" ref=${box}></div>`;
}

export function Progress({ job, what }) {
  const share = job?.share;
  return html`<div class="stack" style="gap:8px">
    <div class="row between"><span>${what}</span><span class="soft">${share == null ? "starting" : `${Math.round(100 * share)} %`}${job?.left ? `, ${job.left} left` : ""}</span></div>
    <progress max="1" value=${share ?? 0} aria-label=${what}></progress>
  </div>`;
}
export const Option = ({ value, children }) => html`<option value=${value}>${children ?? value}</option>`;
