"""The benchmark of hostile clients and drivers, with small numbers."""

import random

import hostile
import pytest


@pytest.mark.parametrize(
    ("attack", "count"),
    [
        (hostile.frames_to_the_server, 200),
        (hostile.connections_to_the_server, 80),
        (hostile.open_and_close_the_server, 10),
        (hostile.images, 2),
        (hostile.frames_to_the_simulator, 400),
        (hostile.open_and_close_the_simulator, 5),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_an_attack_is_survived(attack, count):
    assert attack(count, random.Random(1))
