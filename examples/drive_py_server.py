"""An old drive.py beside our environment: both drive the same simulator with the same few lines of vision.

The drive.py of Udacity's course is a Socket.IO server, to which the simulator connects. `udacity-gym sim`
takes the place of Udacity's simulator, so an old drive.py needs no change. The first driver below has the
shape of the course's: python-socketio, eventlet, events "telemetry" and "steer". The second one is our
environment, which speaks the same protocol and gives you `step` instead of events.

    pip install eventlet
    python examples/drive_py_server.py                  # both drivers, one after the other; half a minute
    python examples/drive_py_server.py drive.py         # only the old one; then start: udacity-gym sim

The program checks that both drive equally far.
"""

from __future__ import annotations

import argparse
import base64
import io
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from unity import RoadFollower

MPH = 0.44704
"""m/s of one mile per hour, in which the simulator sends the speed."""
TARGET = 18.0
"""mph."""


def drive_py(port: int, steps: int) -> None:
    """The shape of the course's drive.py. It ends after some steps, and prints how far it has come."""
    import eventlet
    import eventlet.wsgi
    import socketio
    from PIL import Image

    sio = socketio.Server()
    app = socketio.WSGIApp(sio)
    policy = RoadFollower()
    metres: list[float] = []

    def send_control(steering_angle: float, throttle: float) -> None:
        data = {"steering_angle": str(steering_angle), "throttle": str(throttle)}
        sio.emit("steer", data=data, skip_sid=True)

    @sio.on("telemetry")  # type: ignore[untyped-decorator]
    def telemetry(sid: str, data: Any) -> None:
        if not data:
            sio.emit("manual", data={}, skip_sid=True)
            return
        image = np.asarray(Image.open(io.BytesIO(base64.b64decode(data["image"]))))
        speed = float(data["speed"])
        metres.append(speed * MPH / 15)
        if len(metres) >= steps:
            print(f"{sum(metres):.1f}", flush=True)
            os._exit(0)
        send_control(float(policy.predict(image)[0][0]), 0.1 * (TARGET - speed))

    @sio.on("connect")  # type: ignore[untyped-decorator]
    def connect(sid: str, environ: Any) -> None:
        send_control(0, 0)

    eventlet.wsgi.server(eventlet.listen(("127.0.0.1", port)), app, log_output=False)


def environment(port: int, steps: int) -> float:
    """The same drive in our environment; returns the metres."""
    import gymnasium

    import udacity_gym

    policy = RoadFollower()
    metres = 0.0
    options = {"connect_timeout": 300.0}
    with gymnasium.make(udacity_gym.ENV_ID, simulator="remote", port=port, simulator_options=options) as env:
        observation, info = env.reset(seed=0)
        for _ in range(steps):
            throttle = 0.1 * (TARGET - info["speed"] / MPH)
            action = np.array([policy.predict(observation)[0][0], throttle], np.float32)
            observation, _reward, terminated, _truncated, info = env.step(action)
            metres += info["speed"] / 15
            assert not terminated, "the car has left the road"
    return metres


def start_simulator(port: int) -> subprocess.Popen[str]:
    """Our simulator in a process of its own, instead of Udacity's; it waits for the driver."""
    command = [sys.executable, "-m", "udacity_gym", "sim", "--port", str(port), "--patience", "300"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, text=True)


def compare(port: int, steps: int) -> None:
    """Let both drive, one after the other."""
    simulator = start_simulator(port)
    command = [sys.executable, __file__, "drive.py", "--port", str(port), "--steps", str(steps)]
    old = float(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
    simulator.terminate()
    simulator.wait()
    simulator = start_simulator(port)
    ours = environment(port, steps)
    simulator.terminate()
    simulator.wait()
    print(f"drive.py: {old:.0f} m, our environment: {ours:.0f} m")
    assert abs(old - ours) < 0.1 * ours, "both must drive equally far"
    assert ours > 0.25 * steps, "the car has not come far"


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="?", choices=["both", "drive.py"], default="both")
    parser.add_argument("--port", type=int, default=4567)
    parser.add_argument("--steps", type=int, default=600, help="40 seconds by default")
    options = parser.parse_args(arguments)
    if options.what == "both":
        compare(options.port, options.steps)
    else:
        drive_py(options.port, options.steps)


if __name__ == "__main__":
    main()
