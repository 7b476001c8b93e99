// The connection to the server: images and state down, commands and requests up.

export const state = {
  online: false, page: null, frame: null, hello: null, poll: { jobs: [], teaching: null },
  features: null, keyToImage: null, frozen: false, error: null,
};
const listeners = new Set();
const images = new Map();  // canvas by the name of the image
const shown = {};  // the last bitmap by name, for a canvas that appears later
let socket = null, requests = new Map(), number = 0, retry = 250;
let stamp = 0, sequence = 0, lastFrame = 0, pending = null, decoding = false, announced = false;
const asked = new Map(), latencies = [];

export function subscribe(listener) { listeners.add(listener); return () => listeners.delete(listener); }
function announce() {
  if (announced) return;
  announced = true;
  requestAnimationFrame(() => { announced = false; for (const listener of listeners) listener(); });
}

export function call(word, args = {}) {
  if (!socket || socket.readyState !== 1) return Promise.reject(new Error("not connected to the cockpit"));
  return new Promise((resolve, reject) => {
    requests.set(++number, { resolve, reject });
    socket.send(JSON.stringify({ id: number, do: word, with: args }));
  });
}
// A request whose error is shown to the person.
export async function act(word, args = {}) {
  try { state.error = null; return await call(word, args); } catch (error) { state.error = error.message; announce(); return undefined; }
}
export function clearError() { state.error = null; announce(); }
export async function refresh() {
  state.hello = await call("hello");
  state.features = state.hello.features;
  announce();
}

export function paint(name, canvas) {
  if (!canvas) { images.delete(name); return; }
  images.set(name, canvas);
  if (shown[name]) draw(canvas, shown[name]);
}
function draw(canvas, bitmap) {
  if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) { canvas.width = bitmap.width; canvas.height = bitmap.height; }
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
}

// What is held, sent whenever it changes and 20 times a second.
export function drive(held, changed) {
  if (!socket || socket.readyState !== 1) return;
  sequence += 1;
  if (changed && asked.size < 64) asked.set(sequence, performance.now());
  socket.send(JSON.stringify(["drive", stamp, sequence, held.keys, held.steering, held.throttle, held.brake]));
}

async function show(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  let offset = 4 + length;
  const bitmaps = await Promise.all(Object.entries(header.images).map(([name, size]) => {
    const blob = new Blob([new Uint8Array(buffer, offset, size)], { type: "image/jpeg" });
    offset += size;
    return createImageBitmap(blob).then((bitmap) => [name, bitmap]);
  }));
  for (const [name, bitmap] of bitmaps) {
    shown[name]?.close();
    shown[name] = bitmap;
    if (images.has(name)) draw(images.get(name), bitmap);
  }
  const wasReady = state.frame?.ready;
  if (header.event.number !== state.frame?.event.number) state.eventTime = performance.now();
  stamp = header.stamp;
  state.frame = header;
  lastFrame = performance.now();
  for (const [sent, time] of asked) {
    if (sent > header.sequence) continue;
    asked.delete(sent);
    if (!bitmaps.length) continue;
    latencies.push(lastFrame - time);
    if (latencies.length > 15) latencies.shift();
    state.measured?.push(lastFrame - time);  // for the benchmark
    state.keyToImage = [...latencies].sort((a, b) => a - b)[latencies.length >> 1];
  }
  socket?.readyState === 1 && socket.send(JSON.stringify(["shown", stamp]));
  if (header.ready && !wasReady) refresh().catch(() => null);
  announce();
}

async function receive(event) {
  if (typeof event.data === "string") {
    const message = JSON.parse(event.data);
    if (message.id !== undefined) {
      const request = requests.get(message.id);
      requests.delete(message.id);
      if (!request) return;
      if ("error" in message) request.reject(new Error(message.error)); else request.resolve(message.ok);
      return;
    }
    if (message.page !== undefined) state.page = message.page;
    if (message.poll) state.poll = message.poll;
    announce();
    return;
  }
  pending = event.data;  // the newest wins
  if (decoding) { return; }
  decoding = true;
  while (pending) {
    const buffer = pending;
    pending = null;
    try { await show(buffer); } catch (error) { console.error(error); }
  }
  decoding = false;
}

export function connect() {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  socket = new WebSocket(`${scheme}://${location.host}/socket`);
  socket.binaryType = "arraybuffer";
  socket.onopen = () => {
    retry = 250; sequence = 0; stamp = 0; asked.clear(); state.online = true; announce();
    refresh().catch(() => null);
  };
  socket.onmessage = receive;
  socket.onclose = (event) => {
    state.online = false;
    state.closed = event.reason || null;
    for (const { reject } of requests.values()) reject(new Error("the connection was lost"));
    requests.clear();
    dispatchEvent(new Event("disconnected"));
    announce();
    setTimeout(connect, retry);
    retry = Math.min(4000, retry * 2);
  };
}
export const socketForTests = () => socket;

// The image is frozen where nothing new has come for too long, whatever the reason.
setInterval(() => {
  const limit = 1000 * (state.hello?.limits.frozen ?? 0.3);
  const busy = ["loading", "stopped"].includes(state.frame?.who);
  const frozen = state.online && !busy && lastFrame > 0 && performance.now() - lastFrame > limit;
  if (frozen !== state.frozen) { state.frozen = frozen; announce(); }
}, 50);
