"""What a policy would do on recorded rows."""

from __future__ import annotations

import contextlib
from typing import NamedTuple

import numpy as np

from algorithms.base import Floats, Policy
from algorithms.dagger.heads import FeatureTap
from algorithms.policies.ensemble import Ensemble, doubt_of
from algorithms.training.data import Frames

BATCH = 32
"""Rows that a policy is shown at a time."""


class Replay(NamedTuple):
    """What a policy does on rows, beside what they are labelled with.

    Attributes:
        actions: (n, m) float32 actions of the policy; m is 1 if it only steers.
        labels: (n, m) float32 labels of the rows.
        doubts: (n,) float32 doubts of an ensemble, 0 for a single policy.
        features: (n, k) float32, see `algorithms.dagger.heads.FeatureTap`; k is 0 if they were not asked for.
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
    """Ask a policy about recorded rows, each after its past if the policy remembers.

    Args:
        policy: any policy; one of somebody else may have ``predict`` and nothing else.
        frames: rows with images of the policy's camera.
        features: whether to return the features of the policy's network.

    Raises:
        OptionError: Features are asked for, and the policy has no network to take them from.
        RecordingError: An image can't be read.
    """
    camera, inputs = getattr(policy, "camera", "center"), getattr(policy, "inputs", ())
    labels = frames.columns(getattr(policy, "actions", ("steering", "throttle")))
    past, measurements = frames.past(getattr(policy, "past_frames", 0)), frames.columns(inputs)
    actions, doubts = np.empty_like(labels), np.zeros(len(frames), np.float32)
    with contextlib.closing(FeatureTap(policy)) if features else contextlib.nullcontext() as tap:
        listened = np.empty((len(frames), tap.last.shape[1] if tap else 0), np.float32)
        for start in range(0, len(frames), BATCH):
            rows, state = slice(start, start + BATCH), None
            episodes = [frames.episodes[number] for number in frames.episode[rows].tolist()]
            state_inputs = dict(zip(inputs, measurements[rows].T[..., None], strict=True))
            for indices in past[rows].T.tolist():
                pairs = zip(episodes, indices, strict=True)
                images = np.stack([episode[index].image(camera) for episode, index in pairs])
                observation = {camera: images, **state_inputs} if inputs else images
                if isinstance(policy, Ensemble):
                    each, state = policy.predict_all(observation, state)
                    actions[rows], doubts[rows] = each.mean(axis=0), doubt_of(each)
                else:
                    actions[rows], state = policy.predict(observation, state)
            if tap:
                listened[rows] = tap.last
    return Replay(actions, labels, doubts, listened)
