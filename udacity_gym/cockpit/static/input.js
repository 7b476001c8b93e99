// Keyboard, mouse, touch and gamepad: what is held, and what is pressed.

import { drive, state } from "./link.js";

const DRIVING = {
  ArrowLeft: "l", KeyA: "l", ArrowRight: "r", KeyD: "r", ArrowUp: "u", KeyW: "u", ArrowDown: "d", KeyS: "d",
};
const DEAD_ZONE = 0.08, CURVE = 1.7;
const pressed = new Set();
const pointers = { view: null, wheel: null, pedals: null };
let pad = null, padButtons = [], commands = {}, everywhere = {}, active = false, before = "";

export const gamepad = { name: null, standard: true };
// What keys ask for in the present view, and in all.
export function listen(table) { commands = { ...everywhere, ...table }; }
export function always(table) { everywhere = table; listen({}); }
// Whether driving keys drive: only in the views with the car.
export function enable(yes) { active = yes; if (!yes) { pressed.clear(); send(); } }

function typing(event) {
  const element = event.target;
  return document.querySelector("dialog[open]") || (element instanceof HTMLElement
    && (["INPUT", "SELECT", "TEXTAREA"].includes(element.tagName) || element.isContentEditable));
}

addEventListener("keydown", (event) => {
  if (typing(event) || event.ctrlKey && event.key !== "z" || event.metaKey || event.altKey) return;
  const key = DRIVING[event.code];
  if (key && active) {
    event.preventDefault();
    if (!event.repeat) { pressed.add(event.code); send(true); }
    return;
  }
  const name = (event.ctrlKey ? "Ctrl+" : "") + (event.shiftKey && event.key.length > 1 ? "Shift+" : "") + (event.key.length === 1 ? event.key.toLowerCase() : event.key);
  const onButton = event.target instanceof HTMLElement && ["BUTTON", "A", "SUMMARY"].includes(event.target.tagName);
  if (commands[name] && !event.repeat && !(onButton && ["Enter", " "].includes(event.key))) { event.preventDefault(); commands[name](); }
});
// A button that was clicked with the mouse gives up the focus, so that Enter and space mean what they mean in the view.
addEventListener("click", (event) => { if (event.detail > 0) event.target.closest?.("button")?.blur(); });
addEventListener("keyup", (event) => { if (pressed.delete(event.code)) send(true); });
function letGo() { pressed.clear(); for (const name in pointers) pointers[name] = null; }
addEventListener("blur", () => { letGo(); send(true); });
addEventListener("disconnected", letGo);  // at once: the connection may be back before the next send
document.addEventListener("visibilitychange", () => { if (document.hidden) { pressed.clear(); send(true); } });

// A drag over an element: how far from where it began, in shares of its size.
export function dragging(kind) {
  const move = (event) => {
    const from = pointers[kind];
    if (!from || from.id !== event.pointerId) return;
    const box = event.currentTarget.getBoundingClientRect();
    from.x = (event.clientX - from.x0) / box.width;
    from.y = (event.clientY - from.y0) / box.height;
    send(true);
  };
  const end = (event) => {
    if (pointers[kind]?.id !== event.pointerId) return;
    pointers[kind] = null;
    event.currentTarget.classList.remove("held");
    send(true);
  };
  return {
    onPointerDown: (event) => {
      if (event.button !== 0 || pointers[kind] || !active || event.target.closest("button")) return;
      event.preventDefault();
      event.currentTarget.setPointerCapture?.(event.pointerId);
      event.currentTarget.classList.add("held");
      pointers[kind] = { id: event.pointerId, x0: event.clientX, y0: event.clientY, x: 0, y: 0 };
      send(true);
    },
    onPointerMove: move, onPointerUp: end, onPointerCancel: end,
  };
}

const clamp = (value, low = -1, high = 1) => Math.min(high, Math.max(low, value));
const curve = (value) => {
  const beyond = Math.max(0, Math.abs(value) - DEAD_ZONE) / (1 - DEAD_ZONE);
  return Math.sign(value) * beyond ** CURVE;
};

function readPad() {
  const found = [...(navigator.getGamepads?.() ?? [])].find((item) => item && item.connected !== false) ?? null;
  gamepad.name = found?.id ?? null;
  gamepad.standard = !found || found.mapping === "standard";
  pad = null;
  if (!found || !gamepad.standard || !active) { padButtons = []; return; }
  const steering = curve(found.axes[0] ?? 0);
  const [brake, throttle] = [6, 7].map((i) => found.buttons[i]?.value ?? 0).map((v) => (v > 0.02 ? v : 0));
  if (steering || brake || throttle) pad = { steering, throttle, brake };
  const now = found.buttons.map((button) => button.pressed);
  const words = { 0: "t", 1: "Enter", 2: "r", 3: "Backspace", 9: "p" };
  for (const [index, word] of Object.entries(words)) if (now[index] && !padButtons[index]) commands[word]?.();
  padButtons = now;
}

function held() {
  let steering = null, throttle = 0, brake = 0;
  if (pointers.view) {
    steering = clamp(pointers.view.x * 3);
    throttle = clamp(-pointers.view.y * 3, 0); brake = clamp(pointers.view.y * 3, 0);
  }
  if (pointers.wheel) steering = clamp(pointers.wheel.x * 2.5);
  if (pointers.pedals) {
    const y = pointers.pedals.y * 2.5;
    throttle = clamp(0.6 - y, 0); brake = y > 0.6 ? clamp(y - 0.6, 0) : 0;
    if (brake) throttle = 0;
  }
  if (pad) { steering = pad.steering; throttle = Math.max(throttle, pad.throttle); brake = Math.max(brake, pad.brake); }
  const keys = [...new Set([...pressed].map((code) => DRIVING[code]).filter(Boolean))].sort().join("");
  return { keys, steering, throttle, brake };
}

function send(changed = false) {
  if (!state.online) letGo();  // what is pressed meanwhile must be pressed anew, too
  const now = held(), text = JSON.stringify(now);
  changed = changed && text !== before;
  before = text;
  if (changed || !state.frozen) drive(state.frozen ? { keys: "", steering: null, throttle: 0, brake: 0 } : now, changed);
}
setInterval(() => { readPad(); send(); }, 50);
