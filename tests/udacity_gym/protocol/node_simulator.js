// A simulator on a client of socket.io that we did not write: node node_simulator.js PACKAGE PORT TRANSPORTS
const [pack, port, transports] = process.argv.slice(2);
const io = require(pack);
const options = {forceNew: true, reconnectionDelay: 50};
if (transports !== 'default') options.transports = transports.split(',');
const socket = (io.io || io)('http://127.0.0.1:' + port, options);
const image = require('fs').readFileSync(0, 'utf8');
let speed = 0, upgraded = '';
const telemetry = (angle, throttle) => socket.emit('telemetry', {
  steering_angle: (25 * angle).toFixed(4), throttle: Math.max(0, throttle).toFixed(4),
  speed: speed.toFixed(4), image});
socket.on('connect', () => { console.log('connect'); telemetry(0, 0); telemetry(0, 0); });
socket.on('steer', data => {
  speed = Math.max(0, speed + Number(data.throttle));
  telemetry(Number(data.steering_angle), Number(data.throttle));
});
socket.on('manual', () => telemetry(0, 0));
socket.on('disconnect', reason => { console.log('disconnect ' + reason); });
socket.on('connect_error', error => console.log('connect_error ' + error.message));
