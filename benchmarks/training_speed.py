"""Training images per second: ours, a plain torch loop, imitation's, and the network alone.

All train the same network with Adam on the same rows with batches of the same size. The plain loop
is what a tutorial would write: a Dataset that opens a JPEG, crops, resizes and converts it, a shuffling
DataLoader, no augmentation; once with as many threads as torch takes by itself, once with one. imitation
1.0.1 gets the images prepared and in memory, in an environment of its own, which is made once. Ours has
side cameras, augmentation, and balance on top. The network alone, a copy on each core, trains on one batch
over and over: nothing can be faster with it. Rounds of all take turns, so that other load on the machine
meets them alike; medians count.

Run it with: python benchmarks/training_speed.py [RECORDING]
Without a recording, the built-in expert drives one for it.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import gymnasium
import numpy as np
import torch
from others.environment import make_environment
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Subset

from algorithms import BehavioralCloning, Frames, PilotNet, Preprocessing
from algorithms.training.trainer import Epoch
from udacity_gym import ENV_ID
from udacity_gym.experts import PurePursuit
from udacity_gym.recording import Recording, open_recording, record
from udacity_gym.telemetry import CAMERAS

BATCH = 64


class PlainDataset(Dataset[tuple[Tensor, Tensor]]):
    """One image and its steering and throttle, the way tutorials do it."""

    def __init__(self, recording: Recording) -> None:
        self.rows = [
            (str(episode.path("center", i)), episode.steering[i], episode.throttle[i] - episode.brake[i])
            for episode in recording.episodes
            for i in range(len(episode))
        ]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        path, steering, throttle = self.rows[index]
        image = cv2.imread(path)[60:135]
        yuv = cv2.cvtColor(cv2.resize(image, (200, 66)), cv2.COLOR_BGR2YUV)
        pixels = torch.from_numpy(yuv).permute(2, 0, 1).float() / 127.5 - 1.0
        return pixels, torch.tensor([steering, throttle], dtype=torch.float32)


def plain_loop(recording: Recording, rows: int) -> Callable[[], float]:
    """A plain torch loop; each call gives the images per second of another pass over ``rows`` rows."""
    loader = DataLoader(Subset(PlainDataset(recording), range(rows)), batch_size=BATCH, shuffle=True)
    network = PilotNet(outputs=2)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)

    def run() -> float:
        begin = time.perf_counter()
        for images, targets in loader:
            optimizer.zero_grad()
            nn.functional.mse_loss(network(images), targets).backward()
            optimizer.step()
        return rows / (time.perf_counter() - begin)

    return run


class Imitation:
    """Behavioural cloning of `imitation` in another process; a call gives its images per second."""

    def __init__(self, recording: Recording, rows: int, folder: Path) -> None:
        frames, preprocessing = Frames.of([recording]), Preprocessing()
        images = np.stack([preprocessing(frames.image(row, "center")) for row in range(rows)])
        actions = np.stack([frames.steering, frames.throttle], axis=1)[:rows]
        data = folder / "data.npz"
        np.savez(data, images=images.transpose(0, 3, 1, 2), actions=actions)
        versions = Path(__file__).parents[1] / "constraints-oldest.txt"  # those that imitation needs
        python = make_environment("imitation", "-c", str(versions), "imitation", "torch")
        script = Path(__file__).parent / "others" / "imitation_bc.py"
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        self._process = subprocess.Popen(
            [python, "-W", "ignore", script, data, str(BATCH)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def __call__(self, threads: int) -> float:
        """Train for a pass over the rows."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{threads}\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def network_alone(rows: int) -> Callable[[], float]:
    """A copy of the network on each core, each on one batch over and over, never waiting for another."""
    cores = os.cpu_count() or 1

    def copy_() -> Callable[[], None]:
        network = PilotNet(outputs=2).to(memory_format=torch.channels_last)
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
        images = torch.rand(BATCH // 2, 3, 66, 200).contiguous(memory_format=torch.channels_last)
        targets = torch.rand(BATCH // 2, 2)

        def step() -> None:
            optimizer.zero_grad()
            nn.functional.mse_loss(network(images), targets).backward()
            optimizer.step()

        return step

    copies = [copy_() for _ in range(cores)]
    steps = max(1, rows // (BATCH // 2) // cores)

    def work(step: Callable[[], None]) -> None:
        for _ in range(steps):
            step()

    def run() -> float:
        begin = time.perf_counter()
        with ThreadPoolExecutor(cores) as pool:
            list(pool.map(work, copies))
        return cores * steps * (BATCH // 2) / (time.perf_counter() - begin)

    return run


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recording", type=Path, nargs="?", help="folder with a driving_log.csv")
    parser.add_argument("--without-imitation", action="store_true", help="do not install and measure it")
    parser.add_argument("--rounds", type=int, default=5, help="passes of each kind over the rows")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        if options.recording is None:
            env = gymnasium.make(ENV_ID, cameras=CAMERAS, mode="training")
            recording = record(env, PurePursuit(), Path(folder, "recording"), seconds=70, progress=True)
        else:
            recording = open_recording(options.recording)
        measure(recording, options.rounds, None if options.without_imitation else Path(folder))


def measure(recording: Recording, rounds: int, folder: Path | None) -> None:
    """Let them take turns, and print a table."""
    learner = BehavioralCloning(
        recording, epochs=rounds + 1, batch_size=BATCH, validation=0.0, memory_budget=1e9, progress=False
    )
    rows = len(learner.train_frames)
    plain, alone = plain_loop(recording, rows), network_alone(rows)
    imitation = None if folder is None else Imitation(recording, rows, folder)
    names = ("ours", "plain", "plain, 1 thread", "imitation", "imitation, 1 thread", "alone")
    rates: dict[str, list[float]] = {name: [] for name in names}
    torch_threads = torch.get_num_threads()
    begin = time.perf_counter()

    def others_turn(_: Epoch) -> None:
        """The others take their turn between two of our epochs, during which torch has one thread."""
        nonlocal begin
        rates["ours"].append(rows / (time.perf_counter() - begin))
        rates["plain, 1 thread"].append(plain())
        rates["alone"].append(alone())
        if imitation is not None:
            rates["imitation, 1 thread"].append(imitation(1))
            rates["imitation"].append(imitation(torch_threads))
        torch.set_num_threads(torch_threads)
        rates["plain"].append(plain())
        torch.set_num_threads(1)
        begin = time.perf_counter()

    learner.learn(others_turn)
    if imitation is not None:
        imitation.close()
    first, *later = rates["ours"]
    median = {name: statistics.median(values[1:]) for name, values in rates.items() if values}
    reference = max(median["plain"], median["plain, 1 thread"])
    print(f"\nPython {platform.python_version()}, torch {torch.__version__}, {os.cpu_count()} cores")
    print(f"{rows} rows, batches of {BATCH}; ratio: to the faster of the plain loops")
    print(f"{'':<46}{'images/s':>10}{'ratio':>8}")
    for name, rate in (
        (f"plain torch loop, {torch_threads} threads", median["plain"]),
        ("plain torch loop, 1 thread", median["plain, 1 thread"]),
        (f"imitation 1.0.1, {torch_threads} threads", median.get("imitation")),
        ("imitation 1.0.1, 1 thread", median.get("imitation, 1 thread")),
        ("ours, first epoch (decodes the images)", first),
        (f"ours, median of the {len(later)} epochs after it", median["ours"]),
        ("network alone, a copy per core", median["alone"]),
    ):
        if rate is not None:
            print(f"{name:<46}{rate:>10.0f}{rate / reference:>8.2f}")


if __name__ == "__main__":
    main()
