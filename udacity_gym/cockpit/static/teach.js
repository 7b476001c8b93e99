// A session of DAgger from start to end.

import { html, useState } from "./vendor/preact-htm.js";
import { act, call, state } from "./link.js";
import { count, Key, Map, Option, plural, Plot, Progress, titled, useAsked } from "./parts.js";
import { Event, isDriver, Stage, Touch, Watching } from "./stage.js";
import { Labelling } from "./labels.js";

export const commands = {
  " ": () => state.frame?.round && state.frame.hold === "countdown" && act("start_round"),
  p: () => state.frame?.round && act("pause"),
  t: () => act("press", { button: "take_over" }), Enter: () => act("press", { button: "hand_back" }),
  Backspace: () => state.frame?.round && act("discard", { seconds: null }),
  m: () => act("pace", { pace: state.frame.pace < 1 ? 1 : 0.25 }),
};

function Begin() {
  const [contents] = useAsked(() => call("contents"), [state.online]);
  const [form, set] = useState({ name: "teach-lake", from: "", method: "hg_dagger", track: "lake", rounds: 5, frames: 600, budget: 1500, members: 3, epochs: 4, steps_per_epoch: 100, laps: 1 });
  if (!contents || !state.hello) return html`<p class="soft">Looking through the workspace …</p>`;
  const change = (name) => (e) => set({ ...form, [name]: e.target.type === "number" ? Number(e.target.value) : e.target.value });
  const number = (name, label, min = 1) => html`<label>${label}<input id=${`lesson-${name}`} type="number" min=${min} value=${form[name]} onInput=${change(name)} /></label>`;
  const sources = [...contents.recordings.map((r) => ["recording", r.name]), ...contents.policies.map((p) => ["policy", p])].filter(([, name]) => !contents.sessions.some((s) => name.startsWith(`${s}/`)));
  const from = form.from || (sources[0] ?? []).join(":");
  const begin = () => {
    const [kind, ...rest] = from.split(":"), source = rest.join(":"), { name, from: _, ...lesson } = form;
    act("begin_teaching", { name, lesson: { ...lesson, ...(kind === "recording" ? { recordings: [source] } : { initial: source }) } });
  };
  return html`<div class="card"><h2>Begin a session</h2><div class="stack">
    <p>The policy drives, you correct it where it goes astray, it learns from that, and drives again: that is a round of DAgger. Begin with a recording of a few laps, from which the first policy is trained, or with a policy.</p>
    ${sources.length ? html`<div class="fields">
      <label>folder of the session<input id="lesson-name" value=${form.name} onInput=${change("name")} /></label>
      <label>begin with<select id="lesson-from" value=${from} onChange=${change("from")}>${sources.map(([kind, name]) => html`<${Option} value=${`${kind}:${name}`}>${kind} ${titled(name)}<//>`)}</select></label>
      <label>when you correct<select id="lesson-method" value=${form.method} onChange=${change("method")}><${Option} value="hg_dagger">while it drives (HG-DAgger)<//><${Option} value="dagger">afterwards, image by image (DAgger)<//></select></label>
      <label>track<select id="lesson-track" value=${form.track} onChange=${change("track")}>${state.hello.tracks.map((t) => html`<${Option} value=${t} />`)}</select></label>
      ${number("rounds", "rounds")} ${number("frames", "frames of a round, 15 a second")} ${number("budget", "label budget")}
      ${number("members", "networks (doubt needs 2 or more)")} ${number("epochs", "epochs of a training")} ${number("steps_per_epoch", "batches of an epoch")} ${number("laps", "laps to evaluate", 0)}
    </div><div><button id="begin" class="main" disabled=${!isDriver()} onClick=${begin}>Begin</button></div>` : html`<p>There is neither a recording nor a policy in the workspace yet: <a href="#drive">record some laps</a> first.</p>`}
    ${contents.sessions.length > 0 && html`<h2>Go on with a session</h2><div class="row">${contents.sessions.map((name) => html`<button key=${name} disabled=${!isDriver()} onClick=${() => act("resume_teaching", { name })}>${name}</button>`)}</div>`}
    <${Event} />
  </div></div>`;
}

function Steps({ teaching }) {
  const { phase, round, lesson } = teaching;
  const at = round === 0 ? 1 : phase === "done" ? 3 : 2;
  const words = ["1 Demonstrations", "2 First policy", `3 Correct${round ? `, round ${Math.min(round, lesson.rounds)} of ${lesson.rounds}` : ""}`, "4 Judge"];
  return html`<ol class="steps">${words.map((word, i) => html`<li class=${i < at ? "done" : ""} aria-current=${i === at ? "step" : undefined}>${i < at ? "✓ " : ""}${word}</li>`)}</ol>`;
}

function Phase({ teaching }) {
  const { phase, job, round, lesson } = teaching, off = !isDriver(), { frame } = state;
  if (phase === "training") {
    const epoch = job.share == null ? null : Math.min(lesson.epochs, Math.floor(job.share * lesson.epochs) + 1);
    const what = `Training the ${round ? "next" : "first"} policy${lesson.members > 1 && job.part ? `, network ${job.part} of ${lesson.members}` : ""}${epoch ? `: epoch ${epoch} of ${lesson.epochs}` : ""}`;
    return html`<div class="card" id="phase"><h2>Training</h2><${Progress} job=${job} what=${what} /><p class="soft" style="margin-top:8px">You can look around meanwhile: browse recordings, or drive by hand.</p></div>`;
  }
  if (phase === "driving" && frame?.round) return html`<div class="row buttons">
    <button id="hand-back" class=${frame.who === "correcting" ? "main" : ""} disabled=${off} onClick=${commands.Enter}>Hand back <${Key}>Enter<//></button>
    <button id="discard-correction" disabled=${off} onClick=${commands.Backspace}>Discard this correction <${Key}>⌫<//></button>
    <button id="pause" disabled=${off} onClick=${commands.p}>${frame.hold === "paused" ? "Go" : "Pause"} <${Key}>P<//></button>
    <button id="end-round" class=${frame.round.full ? "main" : ""} disabled=${off} onClick=${() => act("end_round", { keep: true })}>${teaching.lesson.method === "dagger" ? "End the round and label" : "End the round and train"}</button>
    <button id="throw-round" disabled=${off} onClick=${() => act("end_round", { keep: false })}>Throw the round away</button></div>`;
  if (phase === "labelling") return html`<${Labelling} name=${`${teaching.name}/collected`} left=${teaching.unlabelled} done=${() => act("train_round")} />`;
  if (phase === "ready") return html`<div class="card" id="phase"><h2>Ready</h2><div class="row between"><span>The policy of round ${round - 1} is trained. You can rest; nothing starts by itself.</span>
    <button id="drive-round" class="main" disabled=${off} onClick=${() => act("drive_round")}>Drive round ${round} of ${lesson.rounds}</button></div></div>`;
  if (phase === "done") return html`<div class="card" id="phase"><h2>Done</h2><div class="row between"><span>All ${lesson.rounds} rounds are driven. The best policy is ${teaching.name}/learner.</span><a class="button" href="#judge">Judge it</a></div></div>`;
  return html`<div class="card" id="phase"><h2>${phase === "failed" ? "The training failed" : "Not trained yet"}</h2><div class="row between"><span class="event ${phase === "failed" ? "error" : ""}">${job?.error ?? "A round is collected, its training was interrupted."}</span>
    <button id="train-round" class="main" disabled=${off} onClick=${() => act("train_round")}>Train</button></div></div>`;
}

function Curve({ log }) {
  if (!log.length) return null;
  const x = log.map((r) => r.round), per = (n, r) => (r.metres ? 1000 * n / r.metres : null);
  const driven = log.map((r) => (r.frames ? r : null));
  const lines = [
    { label: "falls per km", values: driven.map((r) => r && per(r.falls, r)), colour: "--stop", points: true },
    { label: "takeovers per km", values: driven.map((r) => r && per(r.takeovers, r)), colour: "--warn", points: true },
  ];
  const judged = log.some((r) => r.autonomy != null);
  if (judged) lines.push({ label: "autonomy of the policy", values: log.map((r) => r.autonomy ?? null), colour: "--good", points: true, scale: "share" });
  return html`<div class="card"><h2>Round by round</h2><${Plot} key=${log.length} x=${x} lines=${lines} integers=${true} range=${(u, low, high) => [0, Math.max(1, high * 1.1)]} xLabel="round" height=${190} axes=${judged ? "share" : undefined} /></div>`;
}

export function Teach() {
  const { frame, features } = state, { teaching } = state.poll;
  if (!teaching) return html`<main class="wide"><${Begin} /></main>`;
  const { lesson, log } = teaching, round = frame?.round, used = round?.labels_used ?? log.reduce((sum, r) => sum + r.labels, 0);
  const last = log.at(-1);
  return html`<main><div class="stack">
    <${Steps} teaching=${teaching} />
    ${teaching.phase === "driving" && html`<${Stage} /><${Touch} />`}
    <${Phase} teaching=${teaching} />
    <${Event} car=${teaching.phase === "driving"} />
    <${Curve} log=${log} />
  </div><div class="stack">
    <${Watching} />
    <div class="card"><h2>Session</h2><table>
      <tr><td>method</td><td>${lesson.method === "hg_dagger" ? "HG-DAgger" : "DAgger, labels afterwards"}</td></tr>
      <tr><td>labels used</td><td id="labels-used">${count(used)} of ${count(lesson.budget)}</td></tr>
      ${round && html`<tr><td>frames of the round</td><td>${count(round.frames)} of ${count(round.total)}</td></tr><tr><td>your driving</td><td>${round.by_hand.toFixed(0)} s</td></tr>
      <tr><td>the policy drove</td><td>${round.autonomy == null ? "–" : `${(100 * round.autonomy).toFixed(0)} %`}</td></tr>`}
      ${last?.autonomy != null && html`<tr><td>autonomy, last policy</td><td>${(100 * last.autonomy).toFixed(1)} %</td></tr>`}
      <tr><td>folder</td><td>${teaching.name}</td></tr></table>
      ${used >= lesson.budget && html`<p class="event warning">The label budget is used up.</p>`}
      ${teaching.phase !== "driving" && html`<p style="margin-top:10px"><button id="leave" disabled=${!isDriver()} onClick=${() => act("leave_teaching")}>Close the session</button></p>`}</div>
    ${features?.track && teaching.phase === "driving" && html`<div class="card"><h2>${frame.setup.track}</h2><${Map} outline=${features.track} x=${frame.car?.x} y=${frame.car?.y} /></div>`}
  </div></main>`;
}
