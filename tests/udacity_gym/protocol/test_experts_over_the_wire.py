"""Experts that need nothing but cte drive what term 2's build tells, here our simulator as that build."""

import gymnasium as gym
import numpy as np
from wire_tools import running_client

import udacity_gym
from udacity_gym.experts import PID, Noise, NoisyExpert


def test_pid_drives_term_2s_build_by_its_cte():
    env = gym.make(
        udacity_gym.ENV_ID,
        simulator="remote",
        port=0,
        simulator_options={"connect_timeout": 30.0},
        disable_env_checker=True,
    )
    expert = NoisyExpert(PID(speed=9.0), Noise.of(0.05))
    port = env.unwrapped.simulator.server.port
    with running_client(port, dialect="term2", real_time=True, announce=False):
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
