"""Training data of arrays, and recordings as data sets of torch."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from simple_road import road_image, wanted_steering
from torch import nn
from torch.utils.data import DataLoader

from algorithms import Frames, Training, TrainingConfig
from algorithms.training.arrays import FrameDataset
from udacity_gym.errors import OptionError
from udacity_gym.recording import Downscale, open_recording

QUICK: dict[str, Any] = {"epochs": 1, "steps_per_epoch": 2, "batch_size": 4, "threads": 1}


@pytest.fixture(scope="module")
def arrays() -> tuple[Any, Any]:
    offsets = np.linspace(-2, 2, 24)
    images = np.stack([road_image(offset) for offset in offsets])
    return images, np.stack([[wanted_steering(offset), 0.5] for offset in offsets])


def test_frames_of_arrays_have_the_rows_that_were_given(arrays: tuple[Any, Any]) -> None:
    images, actions = arrays
    starts = np.arange(24) % 10 == 0
    frames = Frames.from_arrays(images, actions, speed=np.full(24, 9.0), episode_starts=starts)
    assert len(frames) == 24
    assert [len(episode) for episode in frames.episodes] == [10, 10, 4]
    np.testing.assert_allclose(frames.steering, actions[:, 0], rtol=1e-6)
    np.testing.assert_allclose(frames.throttle, 0.5)
    assert frames.median_speed == 9.0
    assert frames.cameras == ("center",)
    for row in (0, 9, 10, 23):
        np.testing.assert_array_equal(frames.image(row, "center"), images[row])
    assert frames.time[[0, 1, 10, 11]].tolist() == pytest.approx([0, 1 / 15, 0, 1 / 15])
    train, validation = frames.split(0.25, 0.0)
    assert (len(train), len(validation)) == (18, 6)
    np.testing.assert_array_equal(validation.image(0, "center"), images[18])
    assert frames.past(2)[11].tolist() == [0, 0, 1]
    part = frames.episodes[1][2:4]
    np.testing.assert_array_equal(part.image("center", 0), images[12])


def test_it_trains_as_a_recording_of_the_same_images_does(road_recording: Path) -> None:
    recorded = Frames.of([open_recording(road_recording)])
    cameras = {
        camera: np.stack([recorded.image(row, camera) for row in range(len(recorded))])
        for camera in recorded.cameras
    }
    actions = np.stack([recorded.steering, recorded.throttle], axis=1)
    ours = Frames.from_arrays(cameras, actions, speed=recorded.speed)
    policies = [Training(TrainingConfig(**QUICK), frames).run() for frames in (recorded, ours)]
    first, second = (policy.network.state_dict() for policy in policies)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_other_images_have_another_identity(arrays: tuple[Any, Any]) -> None:
    images, actions = arrays
    changed = images.copy()
    changed[5, 0, 0] += 1
    one, other = (list(Frames.from_arrays(each, actions).identity(("center",))) for each in (images, changed))
    assert one != other
    assert one == list(Frames.from_arrays(images.copy(), actions).identity(("center",)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": np.zeros((3, 8, 8, 3), np.uint8)}, r"must be \(24, height, width, 3\) uint8"),
        ({"images": np.zeros((24, 8, 8, 3), np.float32)}, "float32"),
        ({"images": np.zeros((24, 3, 8, 8), np.uint8)}, r"got \(24, 3, 8, 8\)"),
        ({"actions": np.zeros(24)}, r"actions must be \(n, 2\)"),
        ({"actions": np.full((24, 2), 2.0)}, r"actions must lie in \[-1, 1\], row 0"),
        ({"actions": np.full((24, 1), np.nan)}, "row 0 has"),
        ({"speed": np.zeros(3)}, r"speed must be \(24,\)"),
        ({"speed": np.full(24, -1.0)}, "speed must lie in"),
        ({"episode_starts": np.zeros(2, bool)}, r"episode_starts must be \(24,\)"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(
    arrays: tuple[Any, Any], change: dict[str, Any], message: str
) -> None:
    given = {"images": arrays[0], "actions": arrays[1], **change}
    with pytest.raises(OptionError, match=message):
        Frames.from_arrays(**given)


def test_a_recording_is_a_data_set_of_torch(road_recording: Path) -> None:
    frames = Frames.of([open_recording(road_recording)])
    dataset = FrameDataset(frames, ("steering",), prepare=Downscale((33, 100)))
    image, label = dataset[-1]
    assert (image.shape, image.dtype, label.shape) == ((3, 33, 100), torch.float32, (1,))
    assert 0.0 <= float(image.min()) <= float(image.max()) <= 1.0
    assert float(label[0]) == pytest.approx(float(frames.steering[-1]))
    with pytest.raises(IndexError):
        dataset[len(dataset)]
    with pytest.raises(OptionError, match="no images of a camera 'rear'"):
        FrameDataset(frames, camera="rear")
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 33 * 100, 1))
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)
    losses = []
    for _ in range(4):
        for images, labels in DataLoader(dataset, batch_size=32, shuffle=True):
            loss = nn.functional.mse_loss(network(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])
