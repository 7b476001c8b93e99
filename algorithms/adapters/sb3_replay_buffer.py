"""Fill a replay buffer of Stable-Baselines3 from recordings, for SAC, TD3 and other off-policy methods.

model = SAC("CnnPolicy", env, buffer_size=20_000)
fill_replay_buffer(model.replay_buffer, "my-drive", Downscale((84, 84), crop=(0, 160)))
"""

from __future__ import annotations

from udacity_gym.installation import missing

try:
    from stable_baselines3.common.buffers import DictReplayBuffer, ReplayBuffer
except ImportError as error:
    raise missing("stable_baselines3", __name__, error=error) from error

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from algorithms.adapters.offline import Transitions
from algorithms.training.data import Frames, drop_broken_images, open_recordings
from udacity_gym.errors import OptionError
from udacity_gym.telemetry import Image

if TYPE_CHECKING:
    from udacity_gym.recording import Recording


def fill_replay_buffer(
    buffer: ReplayBuffer,
    recordings: str | Path | Recording | Iterable[str | Path | Recording],
    prepare: Callable[[Image], NDArray[Any]] | None = None,
    *,
    camera: str = "center",
) -> int:
    """Add the transitions of recordings to a replay buffer.

    A transition has image, executed action, reward, next image, and whether the environment terminated the
    episode. The last step of an episode that was only cut off is left out, because the image after it is
    not recorded.

    Args:
        buffer: ``model.replay_buffer``. An action space of one number takes the steering only.
        recordings: recordings with rewards, or their folders.
        prepare: makes the observation of a recorded image, (height, width, 3) uint8 RGB, as the environment
            of the model gives it: `udacity_gym.recording.Downscale`, or the ``see`` of `PreparedImages`
            and `NetworkFeatures` in `algorithms.adapters.stable_baselines3`. Images are put channels first
            where SB3 has them so. None leaves them as they are.
        camera: camera of the images.

    Returns:
        Number of transitions that were added. With ``n_envs`` environments, a rest of fewer is left out.

    Raises:
        OptionError: The buffer is too small, or takes other observations or actions.
        RecordingError: A recording has no rewards, lacks throttle or brake that the buffer takes, or
            can't be read.
    """
    if isinstance(buffer, DictReplayBuffer) or not isinstance(buffer, ReplayBuffer):
        raise OptionError(
            f"a ReplayBuffer of single images is filled, not {type(buffer).__name__}: make the model with "
            "an environment of one camera, and not with MultiInputPolicy"
        )
    frames = Frames.of(
        [drop_broken_images(recording, progress=False)[0] for recording in open_recordings(recordings)],
        labels="executed",
    )
    transitions = Transitions.of(frames)
    count = len(transitions) // buffer.n_envs
    free = buffer.buffer_size - (buffer.buffer_size if buffer.full else buffer.pos)
    if count > free:
        raise OptionError(
            f"the recordings have {len(transitions)} transitions, and the buffer has room for "
            f"{free * buffer.n_envs}: make the model with buffer_size={len(transitions)} or more"
        )
    actions = np.stack([frames.steering, frames.throttle], axis=1)
    if buffer.action_dim not in (1, 2):
        raise OptionError(
            "recorded actions are (steering, throttle) or (steering,); actions of this buffer have "
            f"{buffer.action_dim} numbers"
        )
    if buffer.action_dim == 2:
        frames.check_pedals_recorded("wrap the environment in udacity_gym.wrappers.SpeedControl")
    shape = tuple(buffer.obs_shape)
    images = _Observations(frames, camera, prepare, shape)
    rows = np.arange(count * buffer.n_envs).reshape(count, buffer.n_envs)
    for step in rows:
        now, after = transitions.rows[step], transitions.next_rows[step]
        buffer.add(
            np.stack([images[row] for row in now.tolist()]),
            np.stack([images[row] for row in after.tolist()]),
            actions[now, : buffer.action_dim],
            transitions.rewards[step],
            transitions.terminated[step].astype(np.float32),
            [{"TimeLimit.truncated": False}] * buffer.n_envs,
        )
    return count * buffer.n_envs


class _Observations:
    """Observations of rows; the last few are kept, because each is asked for twice."""

    def __init__(
        self,
        frames: Frames,
        camera: str,
        prepare: Callable[[Image], NDArray[Any]] | None,
        shape: tuple[int, ...],
    ) -> None:
        self._frames, self._camera, self._shape = frames, camera, shape
        self._prepare = prepare
        self._kept: dict[int, NDArray[Any]] = {}

    def __getitem__(self, row: int) -> NDArray[Any]:
        if row not in self._kept:
            if len(self._kept) >= 64:
                del self._kept[next(iter(self._kept))]
            self._kept[row] = self._observe(row)
        return self._kept[row]

    def _observe(self, row: int) -> NDArray[Any]:
        image = self._frames.image(row, self._camera)
        observation = np.asarray(image if self._prepare is None else self._prepare(image))
        if observation.ndim == 3 and observation.shape != self._shape:
            channels_first = np.moveaxis(observation, 2, 0)
            if channels_first.shape == self._shape:
                return channels_first
        if observation.shape != self._shape:
            raise OptionError(
                f"the model takes observations {self._shape}, a recorded image {image.shape} becomes "
                f"{observation.shape}: give prepare=..., such as Downscale((84, 84), crop=(0, 160)) for an "
                "environment with image_size=(84, 84)"
            )
        return observation
