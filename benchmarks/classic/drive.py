"""The loop of everybody's drive.py, for `benchmarks/protocol.py`: Flask, eventlet, python-socketio 4.

It answers every telemetry at once and computes nothing, so that only the connection is measured.
"""

import sys

import eventlet
import eventlet.wsgi
import socketio
from flask import Flask

sio = socketio.Server()


@sio.on("telemetry")
def telemetry(sid, data):
    """Answer."""
    if data:
        send_control(float(data["steering_angle"]) / 100, 0.1)
    else:
        sio.emit("manual", data={}, skip_sid=True)


def send_control(steering_angle, throttle):
    """Command to drive, as the course writes it."""
    data = {"steering_angle": str(steering_angle), "throttle": str(throttle)}
    sio.emit("steer", data=data, skip_sid=True)


if __name__ == "__main__":
    application = socketio.Middleware(sio, Flask(__name__))
    eventlet.wsgi.server(eventlet.listen(("127.0.0.1", int(sys.argv[1]))), application, log_output=False)
