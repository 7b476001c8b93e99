// Labels afterwards: the images of a round one after another, steering set with mouse or keys.

import { html, useEffect, useLayoutEffect, useRef, useState } from "./vendor/preact-htm.js";
import { act, call } from "./link.js";
import { listen } from "./input.js";
import { count, Key, signed, useAsked } from "./parts.js";

const STEP = 0.05, BATCH = 20;

async function frames(name) {
  const { episodes } = await call("overview", { name });
  const all = [];
  for (let number = 0; number < episodes.length; number += 1) {
    const episode = await call("episode", { name, number });
    episode.row.forEach((row, i) => all.push({
      row, image: episode.image[i], policy: episode.policy[i], label: episode.expert[i], done: episode.expert[i] != null || episode.skipped[i],
    }));
  }
  return all;
}

export function Labelling({ name, left, done }) {
  const [all] = useAsked(() => frames(name), [name]);
  const [at, go] = useState(null), [steering, set] = useState(0), [every, thin] = useState(1), [saving, busy] = useState(false);
  const answers = useRef({}), [given, again] = useState(0);
  useEffect(() => { if (all && at == null) move(0, 0); }, [all]);
  const frame = all?.[at];
  function move(from, by = 1) {
    let next = from + by;
    while (next < all.length && (all[next].done || answers.current[all[next].image] !== undefined)) next += 1;
    const target = all[Math.min(next, all.length - 1)];
    go(next < all.length ? next : null);
    if (target) set(Math.round(100 * (target.policy ?? 0)) / 100);
  }
  async function save() {
    if (!Object.keys(answers.current).length) return;
    busy(true);
    const labels = answers.current;
    if (await act("label", { name, labels }) !== undefined || true) for (const f of all) if (labels[f.image] !== undefined) f.done = true;
    answers.current = {};
    busy(false); again((n) => n + 1);
  }
  async function answer(value) {
    if (!frame) return;
    answers.current[frame.image] = value;
    if (value !== "skip") for (let i = at + 1; i < Math.min(all.length, at + every); i += 1) if (!all[i].done) answers.current[all[i].image] = "skip";
    again((n) => n + 1);
    move(at);
    if (Object.keys(answers.current).length >= BATCH * every) await save();
  }
  async function finish() { await save(); done(); }
  const turn = (by) => set((v) => Math.max(-1, Math.min(1, Math.round(100 * (v + by)) / 100)));
  useLayoutEffect(() => listen({  // at once: the next key must find what is shown now
    ArrowLeft: () => turn(-STEP), ArrowRight: () => turn(STEP), Enter: () => answer(steering), " ": () => answer(steering), x: () => answer("skip"), ArrowDown: () => set(0),
  }), [at, steering, every, all]);
  if (!all) return html`<div class="card">Opening the images …</div>`;
  const remaining = all.filter((f) => !f.done && answers.current[f.image] === undefined).length;
  if (!frame) return html`<div class="card" id="labelling"><h2>Labels</h2><div class="row between"><span>All ${count(all.length)} images are labelled or left out.</span><button id="train-labels" class="main" disabled=${saving} onClick=${finish}>${saving ? "Saving …" : "Save and train"}</button></div></div>`;
  const point = (e) => { if (e.buttons & 1) { const box = e.currentTarget.getBoundingClientRect(); set(Math.round(100 * Math.max(-1, Math.min(1, 2 * ((e.clientX - box.left) / box.width) - 1))) / 100); } };
  return html`<div class="card" id="labelling"><h2>Where would you steer?</h2><div class="stack">
    <figure class="wheel" onPointerDown=${point} onPointerMove=${point} style="touch-action:none">
      <img src=${`/image?recording=${encodeURIComponent(name)}&row=${frame.row}&camera=center`} alt="image to label" draggable=${false} />
      <span class="line" style=${`transform:rotate(${25 * 1.6 * steering}deg)`}></span></figure>
    <label>steering ${signed(steering)}<input id="label-steering" type="range" min="-1" max="1" step="0.01" value=${steering} onInput=${(e) => set(Number(e.target.value))} /></label>
    <div class="row between"><div class="row"><button id="label" class="main" onClick=${() => answer(steering)}>Label <${Key}>Enter<//></button><button id="skip" onClick=${() => answer("skip")}>Leave out <${Key}>X<//></button>
      <label class="check">label every<select value=${String(every)} onChange=${(e) => thin(Number(e.target.value))} style="width:auto">${[1, 2, 5, 10, 20].map((n) => html`<option value=${String(n)}>${n === 1 ? "image" : `${n}th image`}</option>`)}</select></label></div>
      <span class="soft">${count(remaining)} to go · <${Key}>←<//> <${Key}>→<//> steer, or drag</span>
      <button id="save-labels" disabled=${saving || !Object.keys(answers.current).length} onClick=${save}>${saving ? "Saving …" : "Save so far"}</button></div>
  </div></div>`;
}
