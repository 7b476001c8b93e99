// A driver on a server of socket.io that we did not write: node node_server.js PACKAGE PORT
const [pack, port] = process.argv.slice(2);
const sio = require(pack);
const options = {maxHttpBufferSize: 1e7};
const io = typeof sio === 'function' ? sio(Number(port), options) : new sio.Server(Number(port), options);
io.on('connection', socket => {
  console.log('connection');
  const steer = () => socket.emit('steer', {steering_angle: '0.1', throttle: '0.5'});
  socket.on('telemetry', data => { if (data) steer(); else socket.emit('manual', {}); });
  socket.on('disconnect', reason => console.log('disconnect ' + reason));
});
console.log('listening');
