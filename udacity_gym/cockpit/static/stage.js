// The car: image, who drives, recording or not, instruments below the image, touch pads.

import { html } from "./vendor/preact-htm.js";
import { act, state } from "./link.js";
import { dragging } from "./input.js";
import { clock, count, Image, Key, plural, signed } from "./parts.js";

const EVENT_SHOWN = 15000;  // ms that the page says what has happened to the car
const WORDS = {
  driving: ["YOU DRIVE", ""], autonomous: ["AUTONOMOUS", "the policy drives"], correcting: ["CORRECTING", "you have the wheel"],
  paused: ["PAUSED", ""], loading: ["LOADING", "one moment"], stopped: ["STOPPED", ""],
};
export const isDriver = () => state.frame && state.frame.driver === state.page;

export function trouble() {
  if (!state.online) return state.closed || "not connected, trying again";
  if (state.frozen) return "the image is frozen";
  const { frame } = state;
  return isDriver() && frame && !["loading", "stopped"].includes(frame.who) ? frame.trouble : null;
}

function Who({ frame, locked }) {
  let [word, detail] = WORDS[frame?.who] ?? ["CONNECTING", ""];
  const policy = frame?.setup.driver;
  if (frame && !isDriver() && frame.who === "driving") [word, detail] = ["SOMEBODY DRIVES", "you watch"];
  else if (frame && !isDriver()) detail = "you watch";
  else if (frame?.who === "autonomous" && policy !== "human") detail = `${policy.split("/").pop()} drives`;
  else if (frame?.who === "paused") detail = frame.hold === "start" ? "steer to start" : frame.hold === "paused" ? "P or steer to go on" : frame.hold;
  if (locked) [word, detail] = ["LOCKED", locked];
  return html`<div class="badge who" role="status">${word}<small>${detail || "\u00a0"}</small></div>`;
}

function Tape({ frame }) {
  const { tape, round } = frame;
  if (round) return html`<div class="badge tape ${frame.hold ? "" : "on"}">ROUND ${round.number}<small>${count(round.frames)} of ${count(round.total)} frames, ${plural(round.labels, "label")}</small></div>`;
  if (tape.running) return html`<div class="badge tape on">● REC<small>${plural(tape.frames, "frame")}, ${tape.megabytes.toFixed(1)} MB</small></div>`;
  if (tape.open) return html`<div class="badge tape">REC PAUSED<small>${plural(tape.frames, "frame")}, ${tape.megabytes.toFixed(1)} MB</small></div>`;
  return html`<div class="badge tape">NOT RECORDING<small>\u00a0</small></div>`;
}

const bar = (value, limit = 1) => { const v = Math.min(1, Math.max(-1, (value ?? 0) / limit)); return `left:${v < 0 ? 50 + 50 * v : 50}%;width:${50 * Math.abs(v)}%`; };
const at = (value, limit = 1) => `left:${50 + 50 * Math.min(1, Math.max(-1, (value ?? 0) / limit))}%`;

function Strip({ frame }) {
  const { car = {}, laps, round } = frame;
  return html`<div class="strip">
    <div class="speed" aria-label="speed">${car.speed == null ? "–" : Math.round(Math.abs(car.speed) / 0.44704)}<small>mph</small></div>
    <div class="pedals" role="img" aria-label="brake and throttle"><i style=${`--v:${car.brake ?? 0};--c:#ff6b61`}></i><i style=${`--v:${car.throttle ?? 0};--c:#4be3a0`}></i></div>
    <div class="bars">
      <div class="line"><span>steering <b>${signed(car.steering)}</b></span>${car.policy != null && html`<span>policy wants <b>${signed(car.policy)}</b></span>`}</div>
      <div class="bar"><i class="middle"></i><i style=${bar(car.steering)}></i>${car.policy != null && html`<i class="policy" style=${at(car.policy)}></i>`}</div>
      ${round && car.doubt != null ? html`<div class="line"><span>doubt <b>${car.doubt.toFixed(4)}</b></span><span>${round.threshold == null ? "" : `you took over at ${round.threshold.toFixed(4)}`}</span></div>
        <div class="bar"><i style=${`left:0;width:${Math.min(100, 50 * car.doubt / (round.threshold ?? 0.02))}%;background:#ffb057`}></i>${round.threshold != null && html`<i class="middle"></i>`}</div>`
      : car.cte != null && html`<div class="line"><span>offset from the line <b>${signed(car.cte)} m</b></span></div>
        <div class="bar"><i class="middle"></i><i class="mark" style=${`${at(car.cte, 4)};background:${car.off_lane ? "#ff6b61" : "#4be3a0"}`}></i></div>`}
    </div>
    <div class="laps">${round ? html`falls in this round<b>${round.falls}</b>${plural(round.takeovers, "takeover")}`
      : html`lap ${laps.lap + 1}, ${plural(laps.falls, "fall")}<b>${clock(laps.time)}</b>last ${clock(laps.last)} · best ${clock(laps.best)}`}</div>
  </div>`;
}

function Overlay({ frame }) {
  if (!frame) return html`<div class="overlay"><strong>Connecting to the cockpit …</strong></div>`;
  if (frame.problem) return html`<div class="overlay"><div><strong>The drive has stopped</strong><p>${frame.problem}</p>
    <button class="main" id="retry" onClick=${() => act("retry")}>Try again</button></div></div>`;
  if (frame.who === "loading") return html`<div class="overlay"><div><strong>${frame.setup.simulator === "embedded" ? `Loading ${frame.setup.track} …` : "Waiting for the simulator …"}</strong>
    ${frame.setup.simulator === "remote" && html`<p>Start Udacity's simulator and choose autonomous mode; it connects to port ${frame.setup.port}.</p>`}</div></div>`;
  if (frame.countdown != null) return html`<div class="overlay"><div><span class="count" aria-live="assertive">${Math.ceil(frame.countdown)}</span><span>hands ready</span></div></div>`;
  if (frame.round && frame.hold === "countdown") return html`<div class="overlay"><div><strong>Round ${frame.round.number} of ${frame.round.of}</strong>
    <p>${frame.round.method === "dagger" ? "The policy drives alone; you label its images afterwards." : "The policy drives. Steer whenever it goes astray, let go when it is back on the road."}</p>
    <button class="main" id="start-round" disabled=${!isDriver()} onClick=${() => act("start_round")}>Start <${Key}>Space<//></button></div></div>`;
  if (frame.round && frame.hold === "round over") return html`<div class="overlay"><div><strong>Round ${frame.round.number} is over</strong>
    <p>${plural(frame.round.labels, "label")}, ${plural(frame.round.falls, "fall")}, ${plural(frame.round.takeovers, "takeover")}</p></div></div>`;
  return null;
}

export function Stage() {
  const { frame } = state, locked = trouble();
  return html`<div class="stage ${frame?.who ?? ""} ${locked ? "locked" : ""}">
    <div class="view" ...${dragging("view")}>
      <${Image} name="view" />
      <${Overlay} frame=${frame} />
      <${Who} frame=${frame} locked=${locked} />
      ${frame && html`<${Tape} frame=${frame} />`}
    </div>
    ${frame && html`<${Strip} frame=${frame} />`}
  </div>`;
}
export const Touch = () => html`<div class="touch" aria-hidden="true">
  <div id="touch-wheel" ...${dragging("wheel")}>steer<br />drag left or right</div>
  <div id="touch-pedals" ...${dragging("pedals")}>gas<br />pull down to brake</div>
</div>`;
/** What went wrong with what this page asked for; under a car also what has happened to the car, for a while. */
export const Event = ({ car = false }) => {
  const isShown = car && performance.now() - state.eventTime < EVENT_SHOWN, event = isShown ? state.frame?.event : null, error = state.error;
  return html`<p class="event ${error ? "error" : event?.kind ?? ""}" role="status" aria-live="polite">${error ?? event?.text ?? ""}</p>`;
};
export const Cameras = () => state.frame?.cameras && html`<div class="cameras">${state.features?.cameras?.length > 1 && ["left", "center", "right"].map((name) => html`<figure key=${name}><${Image} name=${name} /><figcaption>${name}</figcaption></figure>`)}</div>`;
export function Watching() {
  const { frame, page } = state;
  if (!frame) return null;
  const others = frame.pages.filter((other) => other !== page);
  if (!isDriver()) return html`<div class="card"><h2>You watch</h2><p>${frame.driver == null ? "Nobody has the wheel." : "Somebody else has the wheel and can hand it to you."}</p>
    ${frame.driver == null && html`<p style="margin-top:10px"><button class="main" id="take-wheel" onClick=${() => act("wheel")}>Take the wheel</button></p>`}</div>`;
  if (!others.length) return null;
  return html`<div class="card"><h2>${plural(others.length, "person").replace("persons", "people")} watching</h2><div class="row">
    ${others.map((other) => html`<button key=${other} onClick=${() => act("wheel", { to: other })}>Hand the wheel to ${other}</button>`)}</div></div>`;
}
