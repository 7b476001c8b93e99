"""Two learners, and the policy of both, which always does the same."""

import json
from pathlib import Path

import numpy as np


class Always:
    """A policy that ignores what it sees."""

    def __init__(self, action):
        self.action = np.asarray(action, np.float32)

    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        return self.action, state

    def save(self, folder):
        Path(folder).mkdir(parents=True, exist_ok=True)
        (Path(folder) / "always.json").write_text(json.dumps(self.action.tolist()))


class Average:
    """Learns the average action of the recordings."""

    def __init__(self, recordings, *, seed=0, folder=None, throttle=None, label="average"):
        self.episodes = [episode for recording in recordings for episode in recording.episodes]
        self.throttle, self.label = throttle, label

    def learn(self):
        steering = np.concatenate([episode.steering for episode in self.episodes]).mean()
        throttle = np.concatenate([episode.throttle for episode in self.episodes]).mean()
        return Always([steering, throttle if self.throttle is None else self.throttle])

    @classmethod
    def load(cls, folder):
        return Always(json.loads((Path(folder) / "always.json").read_text()))


class Asker:
    """Drives with an expert for a while and learns its average action."""

    def __init__(self, recordings, *, env, expert, steps, seed=0):
        self.env, self.expert, self.steps, self.seed = env, expert, steps, seed

    def learn(self):
        observation, info = self.env.reset(seed=self.seed)
        actions = []
        for _ in range(self.steps):
            actions.append(self.expert(observation, info))
            observation, _, _, _, info = self.env.step(actions[-1])
        return Always(np.mean(actions, axis=0))
