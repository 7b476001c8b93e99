// Drive and record: by hand, or a policy from which a human takes over.

import { html, useState } from "./vendor/preact-htm.js";
import { act, call, state } from "./link.js";
import { gamepad } from "./input.js";
import { count, Key, Map, Option, titled, useAsked } from "./parts.js";
import { Cameras, Event, isDriver, Stage, Touch, Watching } from "./stage.js";

const today = () => { const d = new Date(); return `laps-${d.getFullYear()}-${String(d.getMonth() + 1).padStart(2, "0")}-${String(d.getDate()).padStart(2, "0")}`; };
let folder = today();

export async function record() {
  if (state.frame.round) return;
  if (state.frame.tape.running) return act("pause_recording");
  return act("record", { folder: state.frame.tape.open ? inWorkspace(state.frame.tape.folder) : folder });
}
export const inWorkspace = (path) => (state.hello && path.startsWith(state.hello.workspace) ? path.slice(state.hello.workspace.length + 1) : path);
const nextView = () => { const views = state.features?.views ?? ["center"], i = views.indexOf(state.frame.view); act("view", { view: views[(i + 1) % views.length], cameras: state.frame.cameras }); };
const slow = () => act("pace", { pace: state.frame.pace < 1 ? 1 : 0.25 });

export const commands = {
  r: record, p: () => act("pause"), Backspace: () => act("discard", { seconds: 5 }),
  "Shift+Backspace": () => act("discard", { seconds: null }), Home: () => act("restart"), v: nextView,
  c: () => act("view", { view: state.frame.view, cameras: !state.frame.cameras }), n: () => act("step"), m: slow,
  t: () => act("press", { button: "take_over" }), Enter: () => act("press", { button: "hand_back" }),
};

function Buttons({ frame }) {
  const { tape } = frame, can = state.features ?? {}, off = !isDriver(), policy = frame.setup.driver !== "human";
  return html`<div class="row buttons">
    <button id="record" class=${tape.running ? "stop" : "main"} disabled=${off} onClick=${record}>${tape.running ? "Pause recording" : tape.open ? "Record on" : "● Record"} <${Key}>R<//></button>
    <button id="discard" disabled=${off || !tape.open} onClick=${commands.Backspace}>Discard last 5 s <${Key}>⌫<//></button>
    <button id="discard-episode" disabled=${off || !tape.open} onClick=${commands["Shift+Backspace"]}>Discard episode <${Key}>⇧ ⌫<//></button>
    <button id="finish" disabled=${off || !tape.open} onClick=${() => act("finish")}>Finish recording</button>
    ${policy && html`<button id="hand-back" class=${frame.who === "correcting" ? "main" : ""} disabled=${off} onClick=${commands.Enter}>Hand back <${Key}>Enter<//></button>`}
    <button id="pause" disabled=${off} onClick=${commands.p}>${frame.hold ? "Go" : "Pause"} <${Key}>P<//></button>
    ${can.holds && html`<button id="step" disabled=${off} onClick=${commands.n}>One step <${Key}>N<//></button>`}
    ${can.holds && html`<button id="slow" aria-pressed=${frame.pace < 1} disabled=${off} onClick=${slow}>${frame.pace < 1 ? "Real time" : "Slow motion"} <${Key}>M<//></button>`}
    ${can.restarts && html`<button id="restart" disabled=${off} onClick=${commands.Home}>Restart <${Key}>Home<//></button>`}
  </div>`;
}

function Recording({ frame }) {
  const { tape } = frame, [name, set] = useState(folder), off = !isDriver();
  return html`<div class="card"><h2>Recording</h2><table>
    <tr><td>folder</td><td>${tape.open ? inWorkspace(tape.folder) : html`<input id="folder" aria-label="folder of the recording" value=${name} disabled=${off} onInput=${(e) => { folder = e.target.value; set(folder); }} />`}</td></tr>
    <tr><td>episodes</td><td>${count(tape.episodes)}</td></tr>
    <tr><td>frames</td><td id="frames">${count(tape.frames)}</td></tr>
    <tr><td>time</td><td>${Math.floor(tape.seconds / 60)} min ${Math.floor(tape.seconds % 60)} s</td></tr>
    <tr><td>discarded by hand</td><td>${count(tape.discarded)}</td></tr>
    <tr><td>dropped before falls</td><td>${count(tape.dropped)}</td></tr>
    <tr><td>drop before a fall</td><td><select aria-label="seconds that are dropped before a fall" disabled=${off} value=${String(tape.drop)} onChange=${(e) => act("drop", { seconds: Number(e.target.value) })}>
      ${[...new Set([0, 1, 2, 3, 5, 10, tape.drop])].sort((a, b) => a - b).map((s) => html`<${Option} value=${String(s)}>${s ? `${s} s` : "nothing"}<//>`)}</select></td></tr>
  </table></div>`;
}

function Choices({ frame }) {
  const { setup } = frame, off = !isDriver(), { hello } = state;
  const [contents] = useAsked(() => call("contents"), [frame.tape.open]);
  if (!hello) return null;
  const set = (name) => (event) => { event.target.blur(); act("configure", { [name]: event.target.value }); };
  const policies = contents?.policies ?? [], current = setup.driver.startsWith(hello.workspace) ? inWorkspace(setup.driver) : setup.driver;
  return html`<div class="card"><h2>What is driven</h2><div class="stack">
    <label>who drives<select id="driver" value=${current} disabled=${off} onChange=${set("driver")}>
      <${Option} value="human">me<//>
      ${policies.length > 0 && html`<optgroup label="policies">${policies.map((name) => html`<${Option} value=${name}>${titled(name)}<//>`)}</optgroup>`}
      <optgroup label="experts">${hello.experts.map((name) => html`<${Option} value=${name} />`)}</optgroup></select></label>
    ${state.features?.chooses && html`<label>track<select id="track" value=${setup.track} disabled=${off} onChange=${set("track")}>${[...new Set([...hello.tracks, setup.track])].map((name) => html`<${Option} value=${name} />`)}</select></label>
    <label>direction<select value=${setup.direction} disabled=${off} onChange=${set("direction")}><${Option} value="forward" /><${Option} value="reverse" /></select></label>
    <label>weather and light<select id="conditions" value=${setup.conditions} disabled=${off} onChange=${set("conditions")}>${hello.conditions.map((name) => html`<${Option} value=${name}>${name.replace("_", " ")}<//>`)}</select></label>`}
    ${state.features?.views?.length > 1 && html`<label>view<select id="view" value=${frame.view} disabled=${off} onChange=${(e) => { e.target.blur(); act("view", { view: e.target.value, cameras: frame.cameras }); }}>${state.features.views.map((name) => html`<${Option} value=${name} />`)}</select></label>`}
    ${state.features?.cameras?.length > 1 && html`<label class="check"><input type="checkbox" id="cameras" checked=${frame.cameras} disabled=${off} onChange=${commands.c} />show the three cameras</label>`}
    ${setup.driver !== "human" && html`<p class="soft">Any steering takes over at once. Let go for a second, or press Enter, to hand back.</p>`}
  </div></div>`;
}

export function Drive() {
  const { frame, features } = state;
  return html`<main><div class="stack">
    <${Stage} />
    <${Touch} />
    ${frame && html`<${Buttons} frame=${frame} />`}
    <${Event} car />
    <${Cameras} />
    <div class="keys"><span><${Key}>←<//> <${Key}>→<//> steer</span><span><${Key}>↑<//> gas</span><span><${Key}>↓<//> brake</span>
      <span><${Key}>V<//> view</span><span><${Key}>C<//> cameras</span><span>or W A S D, mouse drag, touch, ${gamepad.name ? "gamepad (found)" : "a gamepad (none found: press a button on it)"}</span></div>
  </div><div class="stack">
    <${Watching} />
    ${features?.track && html`<div class="card"><h2>${frame?.setup.track}</h2><${Map} outline=${features.track} x=${frame?.car?.x} y=${frame?.car?.y} /></div>`}
    ${frame && html`<${Recording} frame=${frame} /><${Choices} frame=${frame} />`}
  </div></main>`;
}
