// Train and judge: trainings with their loss, evaluations with their table and films.

import { html, useEffect, useLayoutEffect, useState } from "./vendor/preact-htm.js";
import { act, call, state } from "./link.js";
import { listen } from "./input.js";
import { clock, count, Option, Plot, Progress, titled, useAsked } from "./parts.js";
import { Event, isDriver } from "./stage.js";

const query = () => new URLSearchParams(location.hash.split("?")[1] ?? "");
const KINDS = { train: "Training", evaluate: "Evaluation" };

function TrainForm({ contents }) {
  const first = query().get("train") || contents.recordings[0]?.name;
  const [form, set] = useState({ recordings: first ? [first] : [], output: "training", learner: "bc", epochs: 10, settings: "select=driving" });
  const change = (name) => (e) => set({ ...form, [name]: e.target.value });
  const toggle = (name) => (e) => set({ ...form, recordings: e.target.checked ? [...form.recordings, name] : form.recordings.filter((r) => r !== name) });
  if (!contents.recordings.length) return html`<div class="card"><h2>Train</h2><p>There is no recording to train on yet. <a href="#drive">Record some laps</a> first.</p></div>`;
  return html`<div class="card"><h2>Train</h2><div class="stack">
    <div class="row">${contents.recordings.map((r) => html`<label class="check" key=${r.name}><input type="checkbox" checked=${form.recordings.includes(r.name)} onChange=${toggle(r.name)} />${titled(r.name)}</label>`)}</div>
    <div class="fields"><label>folder of the training<input id="train-output" value=${form.output} onInput=${change("output")} /></label>
    <label>learner<select value=${form.learner} onChange=${change("learner")}>${state.hello.learners.map((l) => html`<${Option} value=${l} />`)}</select></label>
    <label>epochs<input id="train-epochs" type="number" min="1" value=${form.epochs} onInput=${change("epochs")} /></label>
    <label>other settings, such as batch_size=64<input id="train-settings" value=${form.settings} onInput=${change("settings")} /></label></div>
    <div><button id="train" class="main" disabled=${!isDriver() || !form.recordings.length} onClick=${() => act("train", { recordings: form.recordings, output: form.output, learner: form.learner, settings: `epochs=${form.epochs} ${form.settings}` })}>Train</button></div></div></div>`;
}

function EvaluateForm({ contents }) {
  const [form, set] = useState({ policies: [], output: "evaluation", suite: "", laps: 1, track: "lake", conditions: "clear" });
  const change = (name) => (e) => set({ ...form, [name]: e.target.type === "number" ? Number(e.target.value) : e.target.value });
  const toggle = (name) => (e) => set({ ...form, policies: e.target.checked ? [...form.policies, name] : form.policies.filter((p) => p !== name) });
  return html`<div class="card"><h2>Evaluate and compare</h2><div class="stack">
    <div class="row">${[...contents.policies, ...state.hello.experts].map((p) => html`<label class="check" key=${p}><input type="checkbox" name="policy" value=${p} checked=${form.policies.includes(p)} onChange=${toggle(p)} />${titled(p)}</label>`)}</div>
    <div class="fields"><label>folder of the results<input id="evaluate-output" value=${form.output} onInput=${change("output")} /></label>
    <label>suite<select value=${form.suite} onChange=${change("suite")}><${Option} value="">one drive of one policy<//>${state.hello.suites.map((s) => html`<${Option} value=${s} />`)}</select></label>
    ${!form.suite && html`<label>laps<input type="number" min="1" value=${form.laps} onInput=${change("laps")} /></label>
    <label>track<select value=${form.track} onChange=${change("track")}>${state.hello.tracks.map((t) => html`<${Option} value=${t} />`)}</select></label>
    <label>weather and light<select value=${form.conditions} onChange=${change("conditions")}>${state.hello.conditions.map((t) => html`<${Option} value=${t} />`)}</select></label>`}</div>
    <div><button id="evaluate" class="main" disabled=${!isDriver() || !form.policies.length || (!form.suite && form.policies.length > 1)} onClick=${() => act("evaluate", { ...form, suite: form.suite || null })}>Evaluate</button>
    ${!form.suite && form.policies.length > 1 ? html` <span class="soft">choose a suite to compare several</span>` : ""}</div></div></div>`;
}

function Loss({ name, running }) {
  const [training, set] = useState(null);
  useEffect(() => {
    const ask = () => call("training", { name }).then(set, () => null);
    ask();
    const timer = running ? setInterval(ask, 1000) : null;
    return () => clearInterval(timer);
  }, [name, running]);
  const epochs = training?.epochs ?? [];
  if (!epochs.length) return html`<p class="soft">The curve begins with the first epoch.</p>`;
  const has = (key) => epochs.some((e) => e[key] != null), column = (key) => epochs.map((e) => e[key] ?? null);
  return html`<${Plot} key=${`${name}/${has("score")}`} x=${epochs.map((e) => e.epoch)} integers=${true} xLabel="epoch" axes=${has("score") ? "share" : undefined} lines=${[
    { label: "training loss", values: column("train_loss"), colour: "--accent", points: true },
    ...(has("validation_loss") ? [{ label: "validation loss", values: column("validation_loss"), colour: "--warn", points: true }] : []),
    ...(has("score") ? [{ label: "driving score", values: column("score"), colour: "--good", points: true, scale: "share", gaps: true }] : []),
  ]} />`;
}

const number = (v) => (typeof v !== "number" ? v : Number.isInteger(v) ? count(v) : v.toFixed(Math.abs(v) < 10 ? 3 : 1));

// Measures of all policies of a suite, with their intervals.
function Table({ comparison }) {
  const policies = Object.keys(comparison.policies ?? {});
  const measures = [...new Set(policies.flatMap((p) => Object.keys(comparison.policies[p])))];
  const cell = (e) => (e?.value == null ? "–" : html`${number(e.value)} <small class="soft">${e.low == null ? "" : `${number(e.low)} to ${number(e.high)}`}</small>`);
  return html`<div style="overflow-x:auto"><table class="wide"><tr><th>${comparison.suite}</th>${policies.map((p) => html`<th>${p}</th>`)}</tr>
    ${measures.map((m) => html`<tr><td>${m.replaceAll("_", " ")}</td>${policies.map((p) => html`<td>${cell(comparison.policies[p][m])}</td>`)}</tr>`)}</table>
    <p class="soft">${comparison.method}</p></div>`;
}

function Evaluation({ name, state: progress }) {
  const [result] = useAsked(() => call("evaluation", { name }), [name, progress]);
  const [from, seek] = useState(null);
  useEffect(() => { const video = document.querySelector(`video[data-of="${CSS.escape(name)}"]`); if (video && from != null) { video.currentTime = from; video.play().catch(() => null); } }, [from]);
  if (!result) return html`<p class="soft">The results come when it is done.</p>`;
  const units = { autonomy: ["", (v) => `${(100 * v).toFixed(1)} %`], interventions: [""], mean_abs_cte: [" m"], mean_speed: [" m/s"], distance: [" m"], seconds: [" s"] };
  const measure = (k, v) => (units[k]?.[1] ?? number)(v) + (units[k]?.[0] ?? "");
  const keys = ["policy", "track", "autonomy", "interventions", "laps", "distance", "seconds", "mean_speed", "mean_abs_cte", "ended"];
  const film = result.clips.find((c) => c.endsWith("drive.webm")), clips = result.clips.filter((c) => c !== film);
  return html`<div class="stack">
    ${result.measures && html`<table>${keys.filter((k) => result.measures[k] != null).map((k) => html`<tr><td>${k.replaceAll("_", " ")}</td><td>${measure(k, result.measures[k])}</td></tr>`)}
      <tr><td>incidents</td><td>${count(result.incidents.length)}</td></tr></table>`}
    ${result.comparison && html`<${Table} comparison=${result.comparison} />`}
    ${film && html`<video data-of=${name} controls preload="metadata" src=${`/file/${film}`}></video>`}
    ${film && result.incidents.length > 0 && html`<div class="row">${result.incidents.slice(0, 30).map((i) => html`<button onClick=${() => seek(Math.max(0, i.time / 4 - 0.7) + Math.random() * 1e-6)}>${i.kind} at ${clock(i.time)}</button>`)}</div>`}
    ${clips.length > 0 && html`<div class="two">${clips.slice(0, 24).map((c) => html`<figure key=${c}><video controls preload="metadata" src=${`/file/${c}`}></video><small class="soft">${c}</small></figure>`)}</div>`}
    ${result.report && html`<a class="button" target="_blank" href=${`/file/${result.report}`}>Open the whole report</a>`}
  </div>`;
}

function Job({ job }) {
  const running = job.state === "running", failed = job.state === "failed";
  return html`<div class="card" data-job=${job.number} data-state=${job.state}><div class="row between"><h2>${KINDS[job.kind]} ${job.name}</h2><div class="row"><span class=${failed ? "event error" : "soft"}>${job.state}</span>${running && html`<button disabled=${!isDriver()} onClick=${() => act("stop_job", { number: job.number })}>Stop</button>`}</div></div>
    ${running && html`<${Progress} job=${job} what=${job.kind === "train" ? "training" : "driving"} />`}
    ${failed && html`<p class="event error">${job.error}</p>`}
    ${job.kind === "train" && html`<${Loss} name=${job.name} running=${running} />`}
    ${job.kind === "evaluate" && html`<${Evaluation} name=${job.name} state=${job.state} />`}
  </div>`;
}

export function Judge() {
  const jobs = state.poll.jobs.filter((job) => ["train", "evaluate"].includes(job.kind)), done = jobs.filter((job) => job.state !== "running").length;
  const [contents] = useAsked(() => call("contents"), [state.online, done]);
  const [looked, look] = useState(null);
  useLayoutEffect(() => { listen({}); }, []);
  if (!contents || !state.hello) return html`<main class="wide"><p class="soft">Looking through the workspace …</p></main>`;
  const older = contents.evaluations.filter((name) => !jobs.some((job) => job.name === name));
  return html`<main class="wide"><div class="two"><${TrainForm} contents=${contents} /><${EvaluateForm} contents=${contents} /></div>
    <${Event} />
    <div class="stack">${jobs.map((job) => html`<${Job} key=${job.number} job=${job} />`)}
    ${older.length > 0 && html`<div class="card"><h2>Earlier evaluations</h2><div class="row">${older.map((name) => html`<button aria-pressed=${looked === name} onClick=${() => look(looked === name ? null : name)}>${name}</button>`)}</div>${looked && html`<div style="margin-top:14px"><${Evaluation} key=${looked} name=${looked} /></div>`}</div>`}</div></main>`;
}
