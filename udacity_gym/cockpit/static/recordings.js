// Look back: episodes, images, curves, findings, and rows marked as left out.

import { html, useEffect, useLayoutEffect, useRef, useState } from "./vendor/preact-htm.js";
import { act, call, state } from "./link.js";
import { listen } from "./input.js";
import { clock, count, Key, Map, Option, plural, Plot, signed, titled, useAsked } from "./parts.js";
import { Event, isDriver } from "./stage.js";

const FILM = 14;
const picture = (name, row, camera = "center") => `/image?recording=${encodeURIComponent(name)}&row=${row}&camera=${camera}`;
// Symmetric, so that straight on is in the middle.
const steeringRange = (u, low, high) => { const most = Math.min(1, Math.max(0.2, 1.15 * Math.max(Math.abs(low), Math.abs(high)))); return [-most, most]; };
let kept = { name: null, number: 0 };

function runs(flags, x) {
  const found = [];
  flags.forEach((flag, i) => { if (!flag) return; if (i && flags[i - 1]) found.at(-1)[1] = x[i]; else found.push([x[i], x[i]]); });
  return found;
}

function Bins({ before, after }) {
  const most = Math.max(...before, 1);
  return html`<div class="bins" role="img" aria-label="histogram of steering, before and after balancing">${before.map((n, i) => html`<i style=${`height:${100 * n / most}%`} title=${`${n}, balanced ${after[i]}`}><b style=${`height:${n ? 100 * after[i] / n : 0}%`}></b></i>`)}</div>`;
}

export function Recordings() {
  const [contents, setContents] = useAsked(() => call("contents"), [state.online]);
  const [name, setName] = useState(kept.name), [overview, setOverview] = useState(null), [number, setNumber] = useState(kept.number);
  const [episode, setEpisode] = useState(null), [at, go] = useState(0), [chosen, choose] = useState(null), [playing, play] = useState(false);
  const [policy, setPolicy] = useState(null), [problem, setProblem] = useState(null), [find, setFind] = useState(null);
  kept = { name, number };
  useEffect(() => { if (!name && contents?.recordings.length) setName(contents.recordings[0].name); }, [contents]);
  const turn = useRef(0);  // the answer to an earlier question must not be shown under another name
  const load = async (which, index) => {
    turn.current += 1;
    const mine = turn.current;
    try {
      setProblem(null);
      const seen = await call("overview", { name: which });
      const rows = await call("episode", { name: which, number: Math.min(index, seen.episodes.length - 1) });
      if (mine === turn.current) { setOverview(seen); setEpisode(rows); }
    } catch (error) { if (mine === turn.current) { setProblem(error.message); setOverview(null); setEpisode(null); } }
  };
  useEffect(() => { setOverview(null); setEpisode(null); setPolicy(null); if (name) load(name, number); }, [name, number]);
  useEffect(() => { go(0); choose(null); play(false); }, [name, number]);
  const length = episode?.row.length ?? 0, here = Math.min(at, Math.max(0, length - 1));
  useEffect(() => {
    if (!playing) return undefined;
    const timer = setInterval(() => go((i) => { if (i + 1 >= length) { play(false); return i; } return i + 1; }), 67);
    return () => clearInterval(timer);
  }, [playing, length]);
  const edit = async (kind, more = {}) => { const seen = await act("edit", { name, kind, ...more }); if (seen) { choose(null); await load(name, number); } };
  const leaveOut = () => chosen && edit("leave_out", { rows: episode.row.slice(chosen[0], chosen[1] + 1) });
  const step = (by) => { play(false); go((i) => Math.max(0, Math.min(length - 1, i + by))); };
  useLayoutEffect(() => listen({  // at once: the next key must find what is shown now
    ArrowLeft: () => step(-1), ArrowRight: () => step(1), "Shift+ArrowLeft": () => step(-15), "Shift+ArrowRight": () => step(15),
    " ": () => play((p) => !p), x: leaveOut, "Ctrl+z": () => edit("undo"), Home: () => step(-length), End: () => step(length),
  }), [name, number, length, chosen, episode]);
  if (!contents) return html`<main class="wide"><p class="soft">Looking through the workspace …</p></main>`;
  if (!contents.recordings.length) return html`<main class="wide"><div class="card"><h2>Recordings</h2><p>The workspace has no recording yet. <a href="#drive">Record some laps</a>, or copy a folder with a driving_log.csv into ${state.hello?.workspace}.</p></div></main>`;
  const time = episode?.time ?? [], row = episode?.row[here], off = !isDriver();
  const flagged = new Set(find?.rows ?? []);
  const shaded = episode ? [...runs(episode.left_out, time), ...(find ? runs(episode.row.map((r) => flagged.has(r)), time) : []), ...(chosen ? [[time[chosen[0]], time[chosen[1]]]] : [])] : [];
  const nearest = (t) => { let best = 0; time.forEach((v, i) => { if (Math.abs(v - t) < Math.abs(time[best] - t)) best = i; }); return best; };
  const has = (column) => episode?.[column].some((v) => v != null);
  const lines = episode ? [
    { label: "recorded steering", values: episode.steering, colour: "--accent" },
    ...(has("expert") ? [{ label: "expert", values: episode.expert, colour: "--good", dash: [6, 4] }] : []),
    ...(has("policy") ? [{ label: "policy that drove", values: episode.policy, colour: "--warn", dash: [2, 3] }] : []),
    ...(policy ? [{ label: policy.name, values: policy.values, colour: "--warn" }] : []),
  ] : [];
  const film = episode ? Array.from({ length: FILM }, (_, i) => Math.round(i * (length - 1) / (FILM - 1))) : [];
  return html`<main class="browse"><div class="stack"><div class="card"><h2>Workspace</h2><div class="list">
    ${contents.recordings.map((r) => html`<button key=${r.name} aria-current=${r.name === name ? "true" : undefined} onClick=${() => { setName(r.name); setNumber(0); }}>${titled(r.name)}<small>${plural(r.rows, "row")}</small></button>`)}</div></div>
    ${overview && html`<div class="card"><h2>Episodes</h2><div class="list">${overview.episodes.map((e, i) => html`<button aria-current=${i === number ? "true" : undefined} onClick=${() => setNumber(i)}>Episode ${i + 1}<small>${plural(e.frames, "frame")}, ${clock(e.seconds)}${e.left_out ? `, ${e.left_out} left out` : ""}</small></button>`)}</div></div>`}
  </div><div class="stack">
    <div class="row between"><h1>${titled(name)} ${overview && episode && html`<span class="soft" style="font-size:15px;font-weight:400">episode ${episode.number + 1} of ${overview.episodes.length} · ${plural(overview.frames, "frame")} · ${overview.episodes[episode.number].mph} mph mean</span>`}</h1>
      <div class="row"><button id="leave-out" disabled=${off || !chosen} onClick=${leaveOut}>Leave out${chosen ? ` ${plural(chosen[1] - chosen[0] + 1, "frame")}` : " the selection"} <${Key}>X<//></button>
      <button id="undo" disabled=${off || !overview?.edits.length} onClick=${() => edit("undo")}>Undo <${Key}>Ctrl Z<//></button>
      <a class="button" href=${`#judge?train=${encodeURIComponent(name ?? "")}`}>Train from this</a></div></div>
    ${problem && html`<p class="event error">${problem}</p>`}
    <${Event} />
    ${episode && html`
    <div class="cameras">${overview.cameras.length > 1 ? ["left", "center", "right"].filter((c) => overview.cameras.includes(c)).map((c) => html`<figure key=${c}><img src=${picture(name, row, c)} alt=${`${c} camera, row ${row}`} /><figcaption>${c}</figcaption></figure>`) : html`<figure style="grid-column:1/-1;max-width:640px"><img src=${picture(name, row)} alt=${`center camera, row ${row}`} /></figure>`}</div>
    <div class="row"><button id="play" aria-pressed=${playing} onClick=${() => play(!playing)} style="min-width:112px">${playing ? "Stop" : "Play"} <${Key}>Space<//></button>
      <input id="scrub" class="grow" type="range" min="0" max=${length - 1} value=${here} aria-label="frame" onInput=${(e) => { play(false); go(Number(e.target.value)); }} />
      <span class="soft" style="min-width:210px;text-align:right">row ${row} · ${clock(time[here])} · ${signed(episode.steering[here])} · ${episode.mph[here].toFixed(0)} mph${episode.left_out[here] ? " · left out" : ""}</span></div>
    <div class="film">${film.map((i) => html`<button class=${episode.left_out[i] ? "out" : ""} aria-label=${`frame at ${clock(time[i])}`} aria-current=${film.findLast((k) => k <= here) === i ? "true" : undefined} onClick=${() => { play(false); go(i); }}><img loading="lazy" src=${picture(name, episode.row[i])} alt="" /></button>`)}</div>
    <div class="card"><div class="row between"><h2>Steering</h2><label class="check">compare with<select id="compare" style="width:auto;max-width:220px" value=${policy?.name ?? ""} onChange=${async (e) => {
      const chosenPolicy = e.target.value; setPolicy(null);
      if (chosenPolicy) { const values = await act("steer", { name, number, policy: chosenPolicy }); if (values) setPolicy({ name: chosenPolicy, values }); } }}>
      <${Option} value="">no policy<//>${contents.policies.map((p) => html`<${Option} value=${p}>${titled(p)}<//>`)}</select></label></div>
      <${Plot} key=${`${name}/${number}/steering`} x=${time} lines=${lines} xLabel="s" range=${steeringRange} cursor=${time[here]} select=${{ shaded, done: (a, b) => choose([nearest(a), nearest(b)]), pick: (t) => { go(nearest(t)); choose(null); } }} />
      <p class="soft">Drag over the curve to select frames, click to go there. <${Key}>←<//> <${Key}>→<//> one frame, with shift one second. <span class="hidden" id="selected">${chosen ? chosen.join("-") : ""}</span></p></div>
    <div class="card"><h2>Speed</h2><${Plot} key=${`${name}/${number}/speed`} x=${time} lines=${[{ label: "mph", values: episode.mph, colour: "--accent" }]} xLabel="s" height=${140} cursor=${time[here]} /></div>
    <div class="two"><div class="card"><h2>Steering of all frames</h2><${Bins} before=${overview.histogram} after=${overview.balanced} />
      <p class="soft" style="margin-top:8px">Light: all frames that are used. Full: after balancing. ${(() => { const m = overview.histogram.length >> 1, sum = overview.histogram.reduce((a, b) => a + b, 0); return sum ? `${Math.round(100 * overview.histogram[m] / sum)} % go straight.` : ""; })()}</p></div>
      <div class="card"><h2>Findings</h2>${overview.findings.length ? html`<table>${overview.findings.map((f) => html`<tr><td><button class="plain" aria-pressed=${find?.kind === f.kind} disabled=${!f.rows.length} title=${`${f.detail} — ${f.advice}`} onClick=${() => { setFind(find?.kind === f.kind ? null : f); const i = episode.row.findIndex((r) => f.rows.includes(r)); if (i >= 0) go(i); }}>${f.kind}</button></td><td>${count(f.count)}</td></tr>`)}</table>` : html`<p class="soft">Nothing is wrong with the rows of this recording.</p>`}
        <div class="row" style="margin-top:10px"><button disabled=${off} onClick=${() => edit("check")}>Check all images</button><button disabled=${off} onClick=${() => edit("trim", { start: 1, end: 1 })}>Trim 1 s of each end</button><button disabled=${off} onClick=${() => edit("balance")}>Balance</button></div></div></div>
    <div class="two"><div class="card"><h2>Edits</h2>${overview.edits.length ? html`<ol style="padding-left:20px">${overview.edits.map((e) => html`<li>${e}</li>`)}</ol>` : html`<p class="soft">None. Rows that you leave out stay in the recording; undo brings them back.</p>`}
      <p id="left-out" class="soft" style="margin-top:8px">left out: ${plural(overview.left_out, "frame")}</p></div>
      ${has("x") && html`<div class="card"><h2>Map</h2><${Map} outline=${episode.outline} trace=${{ x: episode.x.filter((v) => v != null), y: episode.y.filter((v) => v != null) }} x=${episode.x[here]} y=${episode.y[here]} /></div>`}</div>`}
  </div></main>`;
}
