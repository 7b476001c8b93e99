// The page: header, views, help.

import { html, render, useEffect, useLayoutEffect, useState } from "./vendor/preact-htm.js";
import { clearError, connect, socketForTests, state } from "./link.js";
import { always, enable, gamepad, listen } from "./input.js";
import { Key, useStore } from "./parts.js";
import { trouble } from "./stage.js";
import { commands as driving, Drive } from "./drive.js";
import { commands as teaching, Teach } from "./teach.js";
import { Recordings } from "./recordings.js";
import { Judge } from "./judge.js";

const VIEWS = { drive: ["Drive", Drive, driving], teach: ["Teach", Teach, teaching], recordings: ["Recordings", Recordings, null], judge: ["Judge", Judge, null] };
const here = () => { const name = location.hash.slice(1).split("?")[0]; return name in VIEWS ? name : "drive"; };
const toggleHelp = () => { const dialog = document.getElementById("help"); if (dialog.open) dialog.close(); else dialog.showModal(); };

function Help() {
  const rows = [
    ["← → or A D", "steer"], ["↑ or W", "gas"], ["↓ or S", "brake, then reverse"], ["R", "record, pause recording"], ["⌫", "discard the last 5 s; in a round, the last correction"],
    ["⇧ ⌫", "discard the episode"], ["P", "pause, go on"], ["N", "one step"], ["M", "slow motion"], ["T, or any steering", "take over from a policy"], ["Enter, or let go", "hand back"],
    ["Home", "restart"], ["V, C", "view, cameras"], ["H", "this help"],
  ];
  return html`<dialog id="help" aria-label="help"><div class="row between"><h1>Keys</h1><button onClick=${toggleHelp}>Close <${Key}>H<//></button></div>
    <table style="margin-top:12px">${rows.map(([key, what]) => html`<tr><td style="white-space:nowrap"><${Key}>${key}<//></td><td>${what}</td></tr>`)}</table>
    <h2>Mouse and touch</h2><p>Drag over the image: sideways to steer, up for gas, down to brake. On a touch screen there are two pads below the image.</p>
    <h2>Gamepad</h2><p>${gamepad.name ? (gamepad.standard ? `${gamepad.name}: left stick and triggers; A takes over, B hands back, X records, Y discards, Start pauses.` : `${gamepad.name} has no layout that the browser knows.`) : "None is found. Plug one in and press a button on it: browsers hide gamepads until then."}</p></dialog>`;
}

function App() {
  useStore();
  const [view, set] = useState(here());
  useEffect(() => { const change = () => { clearError(); set(here()); }; addEventListener("hashchange", change); return () => removeEventListener("hashchange", change); }, []);
  const [, Body, commands] = VIEWS[view];
  const drives = view === "drive" || (view === "teach" && state.frame?.round != null);
  useLayoutEffect(() => { if (commands) listen(commands); }, [view, drives]);
  useLayoutEffect(() => { enable(drives); }, [drives]);
  const problem = trouble(), { frame } = state;
  return html`<header><b>udacity-gym</b><nav aria-label="views">${Object.entries(VIEWS).map(([name, [word]]) => html`<a href=${`#${name}`} aria-current=${name === view ? "page" : undefined}>${word}</a>`)}</nav>
    <div class="status"><span class="where">${frame ? `${frame.setup.track} · ${frame.setup.conditions.replace("_", " ")}` : ""}</span>
    <span class="latency"><i class="dot ${problem ? "bad" : ""}"></i>${problem ? "locked" : `key to image ${state.keyToImage == null ? "–" : `${Math.round(state.keyToImage)} ms`}`}</span>
    <button class="plain" onClick=${toggleHelp} aria-label="help"><${Key}>H<//> help</button></div></header>
    <${Body} /><${Help} />`;
}

// For tests and the console.
window.cockpit = { state, get socket() { return socketForTests(); } };
always({ h: toggleHelp });
connect();
render(html`<${App} />`, document.getElementById("app"));
