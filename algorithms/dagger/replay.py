"""`replay`: the actions of a policy on recorded rows."""

from __future__ import annotations

import contextlib
from typing import NamedTuple

import numpy as np

from algorithms.base import Floats, Policy
from algorithms.dagger.heads import FeatureTap
from algorithms.policies.ensemble import Ensemble, doubt_of
from algorithms.training.data import Frames
from udacity_gym.driving.policy_inputs import cameras_for

BATCH_SIZE = 32
"""Rows that a policy gets at a time."""


class Replay(NamedTuple):
    """A policy's actions on recorded rows, with the labels of the rows.

    Attributes:
        actions: (n, m) float32 actions of the policy; m is 1 if it only steers.
        labels: (n, m) float32 labels of the rows.
        doubts: (n,) float32 doubts of an ensemble, 0 for a single policy.
        features: (n, k) float32, see `algorithms.dagger.heads.FeatureTap`; k is 0 if they were not requested.
    """

    actions: Floats
    labels: Floats
    doubts: Floats
    features: Floats

    @property
    def discrepancies(self) -> Floats:
        """(n,) squared distances between the policy's actions and the labels."""
        squared: Floats = np.square(self.actions - self.labels).sum(axis=1)
        return squared


def replay(policy: Policy, frames: Frames, *, features: bool = False) -> Replay:
    """Run a policy on recorded rows, each after its past frames if the policy uses them.

    Args:
        policy: any object with ``predict``. One that predicts chunks gives the first action of a new chunk.
        frames: rows with images of the policy's cameras.
        features: whether to return the features of the policy's network.

    Raises:
        OptionError: Features are requested, and the policy has no network to take them from.
        RecordingError: An image can't be read.
    """
    cameras, inputs = cameras_for(policy), getattr(policy, "inputs", ())
    labels = frames.columns(getattr(policy, "actions", ("steering", "throttle")))
    past, measurements = frames.past(getattr(policy, "past_frames", 0)), frames.measurements(inputs)
    actions, doubts = np.empty_like(labels), np.zeros(len(frames), np.float32)
    with contextlib.closing(FeatureTap(policy)) if features else contextlib.nullcontext() as tap:
        all_features = np.empty((len(frames), tap.last.shape[1] if tap else 0), np.float32)
        for start in range(0, len(frames), BATCH_SIZE):
            rows, state = slice(start, start + BATCH_SIZE), None
            episodes = [frames.episodes[number] for number in frames.episode[rows].tolist()]
            state_inputs = dict(zip(inputs, measurements[rows].T[..., None], strict=True))
            for indices in past[rows].T.tolist():
                pairs = list(zip(episodes, indices, strict=True))
                images = {
                    camera: np.stack([episode[index].image(camera) for episode, index in pairs])
                    for camera in cameras
                }
                alone = len(cameras) == 1 and not inputs
                observation = images[cameras[0]] if alone else {**images, **state_inputs}
                if isinstance(policy, Ensemble):
                    member_actions, state = policy.predict_all(observation, state)
                    actions[rows], doubts[rows] = member_actions.mean(axis=0), doubt_of(member_actions)
                else:
                    actions[rows], state = policy.predict(observation, state)
            if tap:
                all_features[rows] = tap.last
    return Replay(actions, labels, doubts, all_features)
