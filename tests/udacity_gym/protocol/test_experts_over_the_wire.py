"""Experts that need nothing but cte drive what term 2's build tells, here our simulator as that build."""

import gymnasium as gym
import numpy as np
from simulated_clock import SimulatedClock
from wire_tools import PATIENT, port_of, running_client, server_of, wait_for_start

import udacity_gym
from udacity_gym.experts import PID, Noise, NoisyExpert
from udacity_gym.protocol import client
from udacity_gym.protocol.server import SETTLING


def test_pid_drives_term_2s_build_by_its_cte(monkeypatch):
    monkeypatch.setattr(client, "SLOW_START", 0.1)
    clock = SimulatedClock()
    env = gym.make(
        udacity_gym.ENV_ID,
        simulator="remote",
        port=0,
        simulator_options={**PATIENT, "clock": clock},
        disable_env_checker=True,
    )
    expert = NoisyExpert(PID(speed=9.0), Noise.of(0.05))
    settings = {"dialect": "term2", "announce": False, "on_step": lambda _: clock.advance(1 / 15)}
    with running_client(port_of(env), **settings):
        wait_for_start(server_of(env))
        clock.advance(SETTLING)
        observation, info = env.reset()
        infos = []
        for _ in range(90):
            observation, _, terminated, truncated, info = env.step(expert(observation, info))
            assert not terminated
            assert not truncated
            infos.append(info)
        env.close()
    assert "heading_error" not in info
    assert "s" not in info
    cte = np.array([info["cte"] for info in infos])
    assert abs(cte[0]) > 0.5
    assert np.abs(cte[45:]).mean() < 0.4
    assert info["speed"] > 8.0
