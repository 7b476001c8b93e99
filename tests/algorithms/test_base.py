"""The contract of policies: what goes in, what comes out, and what is said when it is the wrong thing."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from algorithms import Policy
from algorithms.base import Action, Learner, ObservationError
from udacity_gym.telemetry import Image


class RedIsRight(Policy):
    """Steers right by the mean of the red channel; far out of range on purpose."""

    def act(self, images: Image) -> Action:
        assert images.shape[1:] == (160, 320, 3)
        red = images[..., 0].mean(axis=(1, 2), dtype=np.float64)
        return np.stack([red, -red], axis=1)

    def save(self, folder: str | Path) -> Path:
        raise NotImplementedError


@pytest.fixture
def policy() -> Policy:
    return RedIsRight()


@pytest.fixture
def image() -> NDArray[np.uint8]:
    return np.full((160, 320, 3), 200, np.uint8)


def test_one_image_gives_one_action(policy: Policy, image: Image) -> None:
    action, state = policy.predict(image)
    assert action.shape == (2,)
    assert action.dtype == np.float32
    assert state is None


def test_a_batch_of_images_gives_a_batch_of_actions(policy: Policy, image: Image) -> None:
    action, _ = policy.predict(np.stack([image, np.zeros_like(image), image]))
    assert action.shape == (3, 2)
    np.testing.assert_array_equal(action[1], [0, 0])


def test_actions_are_clipped_to_what_the_env_accepts(policy: Policy, image: Image) -> None:
    action, _ = policy.predict(image)
    np.testing.assert_array_equal(action, [1, -1])


def test_the_state_is_handed_back(policy: Policy, image: Image) -> None:
    state = (np.zeros(3),)
    assert policy.predict(image, state, np.array([True]), deterministic=False)[1] is state


def test_a_dict_observation_is_looked_at_through_the_centre_camera(policy: Policy, image: Image) -> None:
    black = np.zeros_like(image)
    action, _ = policy.predict({"left": image, "center": black, "right": image})
    np.testing.assert_array_equal(action, [0, 0])


@pytest.mark.parametrize(
    ("observation", "hint"),
    [
        ({"left": np.zeros((160, 320, 3), np.uint8)}, "make the env with cameras that include 'center'"),
        ((np.zeros((160, 320, 3), np.uint8), {}), r"env.reset\(\) returns \(observation, info\)"),
        (np.zeros((3, 160, 320), np.uint8), "channels come first"),
        (np.zeros((5, 3, 160, 320), np.uint8), "channels come first"),
        (np.zeros((320, 160, 3), np.uint8), "height and width are swapped"),
        (np.zeros((160, 320, 4), np.uint8), "alpha channel"),
        (np.zeros((160, 320, 1), np.uint8), "grey"),
        (np.zeros((160, 320, 12), np.uint8), "frames are stacked"),
        (np.zeros((66, 200, 3), np.uint8), "whole image"),
        (np.zeros((0, 160, 320, 3), np.uint8), "a batch of no images"),
        (np.zeros(9, np.float32), "state vector"),
        (np.full((160, 320, 3), 0.5), r"lie in \[0, 1\]"),
        (np.full((160, 320, 3), -0.5, np.float32), "negative values"),
        (np.full((160, 320, 3), 200.0), r"astype\(np.uint8\)"),
        (np.full((160, 320, 3), 200, np.int64), "int64"),
    ],
)
def test_a_wrong_observation_is_recognised(policy: Policy, observation: Any, hint: str) -> None:
    with pytest.raises(ObservationError, match=hint):
        policy.predict(observation)


def test_anything_that_learns_is_a_learner() -> None:
    class Stubborn:
        def learn(self) -> Policy:
            return RedIsRight()

    assert isinstance(Stubborn(), Learner)
    assert not isinstance(object(), Learner)
