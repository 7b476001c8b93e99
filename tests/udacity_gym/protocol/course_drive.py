"""A drive.py in the shape that the course teaches: Flask, eventlet, python-socketio; run by the tests.

It knows nothing of udacity-gym. Where the course has a network it has a few lines of numpy: it follows
what has the colour of the ground right ahead of the bonnet.
"""

import argparse
import base64
from io import BytesIO

import eventlet
import eventlet.wsgi
import numpy as np
import socketio
from flask import Flask
from PIL import Image

sio = socketio.Server()
app = Flask(__name__)


class SimplePIController:
    def __init__(self, Kp, Ki):  # noqa: N803 - as the course writes it
        self.Kp = Kp
        self.Ki = Ki
        self.set_point = 0.0
        self.error = 0.0
        self.integral = 0.0

    def set_desired(self, desired):
        self.set_point = desired

    def update(self, measurement):
        self.error = self.set_point - measurement
        self.integral += self.error
        return self.Kp * self.error + self.Ki * self.integral


controller = SimplePIController(0.1, 0.002)
controller.set_desired(20)


def predict(image):
    boxes = image[68:132].astype(float).reshape(16, 4, 80, 4, 3).mean((1, 3))
    ground = np.median(boxes[10:14, 34:46].reshape(-1, 3), axis=0)
    road = np.abs(boxes - ground).max(-1) < 45
    middles, column = [], 40
    for row in range(9, 1, -1):
        if not road[row, column]:
            break
        left = right = column
        while left > 0 and road[row, left - 1]:
            left -= 1
        while right < 79 and road[row, right + 1]:
            right += 1
        column = (left + right) // 2
        middles.append((left + right) / 2 - 39.5)
    return 1.4 * np.mean(middles[-5:]) / 39.5 if middles else 0.0


@sio.on("telemetry")
def telemetry(sid, data):
    if data:
        speed = data["speed"]
        image = Image.open(BytesIO(base64.b64decode(data["image"])))
        steering_angle = float(predict(np.asarray(image)))
        throttle = controller.update(float(speed))
        send_control(steering_angle, throttle)
    else:
        sio.emit("manual", data={}, skip_sid=True)


@sio.on("connect")
def connect(sid, environ):
    send_control(0, 0)


def send_control(steering_angle, throttle):
    sio.emit(
        "steer",
        data={"steering_angle": steering_angle.__str__(), "throttle": throttle.__str__()},
        skip_sid=True,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=4567)
    args = parser.parse_args()
    app = socketio.Middleware(sio, app)
    eventlet.wsgi.server(eventlet.listen(("127.0.0.1", args.port)), app, log_output=False)
