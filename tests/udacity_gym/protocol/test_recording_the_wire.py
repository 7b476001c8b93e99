"""What drives at the other end of the wire is recorded: Unity's centre camera, our simulator's three."""

import gymnasium as gym
import numpy as np
import pytest
from simulated_clock import SimulatedClock
from unity_like import UnityLike
from wire_tools import PATIENT, port_of, running_client, server_of, wait_for_start

import udacity_gym
from udacity_gym.driving import drive
from udacity_gym.experts import PurePursuit
from udacity_gym.protocol.server import SETTLING
from udacity_gym.recording import Recorder, open_recording, record
from udacity_gym.telemetry import CAMERAS


def make(clock, **settings):
    options = {**PATIENT, "clock": clock}
    return gym.make(
        udacity_gym.ENV_ID,
        simulator="remote",
        **{"port": 0, **settings},
        simulator_options=options,
        disable_env_checker=True,
    )


class SteersMore:
    """A policy that counts in its state, and steers by it."""

    def predict(self, observation, state=None, **_):
        count = 0 if state is None else state
        return np.array([count / 20, 0.1], np.float32), count + 1


def test_a_unity_build_is_recorded_with_its_centre_camera(tmp_path):
    clock = SimulatedClock()
    env = make(clock, ctrl_dt=0.02)
    with UnityLike(port_of(env), clock, fps=60), Recorder(tmp_path) as recorder:
        wait_for_start(server_of(env))
        clock.advance(SETTLING)
        for step in drive(env, SteersMore(), steps=12):
            recorder.add(step)
        env.close()
    recording = open_recording(tmp_path, strict=True)
    assert recording.cameras == ("center",)
    assert len(recording.check(progress=False).unusable) == 0
    (episode,) = recording.episodes
    assert episode.steering == pytest.approx(np.arange(12) / 20)
    assert episode[3].image().shape == (160, 320, 3)
    assert episode[3].extra["driver"] == "policy"


def test_our_simulator_is_recorded_over_the_wire_as_it_is_here(tmp_path):
    with gym.make(udacity_gym.ENV_ID, cameras=CAMERAS, mode="training") as here:
        ours = record(here, PurePursuit(), tmp_path / "here", seconds=1, seed=3)
    env = make(SimulatedClock(), cameras=CAMERAS, mode="training")
    with running_client(port_of(env)):
        theirs = record(env, PurePursuit(), tmp_path / "there", seconds=1, seed=3)
        env.close()
    assert theirs.cameras == CAMERAS
    (a,), (b,) = ours.episodes, theirs.episodes
    assert len(a) == len(b) == 15
    assert a.steering.tolist() == b.steering.tolist()
    for index in (0, 14):
        difference = np.abs(a[index].image("left").astype(int) - b[index].image("left"))
        assert difference.mean() < 1  # the wire has JPEG, too, which is encoded once more
        assert a[index].extra["pose"] == b[index].extra["pose"]
