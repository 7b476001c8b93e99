"""Training images per second: ours, a plain torch loop, imitation's, and the network alone.

All train the same network with Adam on the same rows with batches of the same size. The plain loop
is what a tutorial would write: a Dataset that opens a JPEG, crops, resizes and converts it, a shuffling
DataLoader, no augmentation; once with as many threads as torch takes by itself, once with one. imitation
1.0.1 gets the images prepared and in memory, in an environment of its own, which is made once. Ours has
side cameras, augmentation, and balance on top, and trains in each precision. The network alone, a copy on
each core, trains on one batch over and over: nothing can be faster with it. Rounds of all take turns, so that
other load on the machine meets them alike; medians count.

Run it with: python benchmarks/training_speed.py [RECORDING] [--device cuda] [--precision float32 bfloat16]
Without a recording, the built-in expert drives one for it. Ours and the network alone run on the device, the
others on the CPU.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import get_args

import cv2
import gymnasium
import numpy as np
import torch
from others.environment import make_environment
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Subset

from algorithms import BehavioralCloning, Frames, PilotNet, Preprocessing
from algorithms.policies.device import Precision, autocast, describe_device, find_device
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


class OurTraining:
    """Our training in a thread of its own; a call trains an epoch and gives its images per second."""

    def __init__(self, recording: Recording, epochs: int, device: str, precision: Precision) -> None:
        self._learner = BehavioralCloning(
            recording,
            epochs=epochs,
            batch_size=BATCH,
            validation=0.0,
            memory_budget=1e9,
            device=device,
            precision=precision,
            progress=False,
        )
        self.rows = len(self._learner.train_frames)
        self._go, self._done = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._train, daemon=True)
        self._thread.start()

    def _train(self) -> None:
        self._go.acquire()
        self._learner.learn(self._wait)

    def _wait(self, _: Epoch) -> None:
        self._done.release()
        self._go.acquire()

    def __call__(self) -> float:
        """Train an epoch."""
        torch.set_num_threads(1)
        begin = time.perf_counter()
        self._go.release()
        self._done.acquire()
        return self.rows / (time.perf_counter() - begin)

    def close(self) -> None:
        """Let the thread end after the last epoch."""
        self._go.release()
        self._thread.join()


def network_alone(rows: int, device: torch.device, precision: Precision) -> Callable[[], float]:
    """A copy of the network on each core or on the GPU, each on one batch over and over."""
    copies_ = (os.cpu_count() or 1) if device.type == "cpu" else 1
    size = BATCH // 2 if device.type == "cpu" else BATCH

    def copy_() -> Callable[[], None]:
        network = PilotNet(outputs=2).to(device, memory_format=torch.channels_last)
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
        images = torch.rand(size, 3, 66, 200, device=device).contiguous(memory_format=torch.channels_last)
        targets = torch.rand(size, 2, device=device)

        def step() -> None:
            optimizer.zero_grad()
            with autocast(device, precision):
                out = network(images)
            nn.functional.mse_loss(out.float(), targets).backward()
            optimizer.step()

        return step

    copies = [copy_() for _ in range(copies_)]
    steps = max(1, rows // size // copies_)

    def work(step: Callable[[], None]) -> None:
        for _ in range(steps):
            step()

    def run() -> float:
        torch.set_num_threads(1)
        begin = time.perf_counter()
        with ThreadPoolExecutor(copies_) as pool:
            list(pool.map(work, copies))
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return copies_ * steps * size / (time.perf_counter() - begin)

    return run


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recording", type=Path, nargs="?", help="folder with a driving_log.csv")
    parser.add_argument("--without-imitation", action="store_true", help="do not install and measure it")
    parser.add_argument("--rounds", type=int, default=5, help="passes of each kind over the rows")
    parser.add_argument("--device", default="cpu", help="where ours computes: cpu, cuda, mps or auto")
    parser.add_argument(
        "--precision",
        nargs="+",
        default=list(get_args(Precision)),
        choices=get_args(Precision),
        help="of ours",
    )
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        if options.recording is None:
            env = gymnasium.make(ENV_ID, cameras=CAMERAS, mode="training")
            recording = record(env, PurePursuit(), Path(folder, "recording"), seconds=70, progress=True)
        else:
            recording = open_recording(options.recording)
        measure(recording, options, None if options.without_imitation else Path(folder))


def measure(recording: Recording, options: argparse.Namespace, folder: Path | None) -> None:
    """Let them take turns, and print a table."""
    device, threads = find_device(options.device), torch.get_num_threads()
    ours = {p: OurTraining(recording, options.rounds + 1, options.device, p) for p in options.precision}
    rows = next(iter(ours.values())).rows
    imitation = None if folder is None else Imitation(recording, rows, folder)
    plain = plain_loop(recording, rows)

    def plain_with(count: int) -> Callable[[], float]:
        def run() -> float:
            torch.set_num_threads(count)
            return plain()

        return run

    runs: dict[str, Callable[[], float]] = {
        f"plain torch loop, {threads} threads": plain_with(threads),
        "plain torch loop, 1 thread": plain_with(1),
    }
    if imitation is not None:
        runs[f"imitation 1.0.1, {threads} threads"] = partial(imitation, threads)
        runs["imitation 1.0.1, 1 thread"] = partial(imitation, 1)
    for precision, training in ours.items():
        runs[f"ours, {precision}"] = training
        runs[f"network alone, {precision}"] = network_alone(rows, device, precision)
    rates = {name: [run()] for name, run in runs.items()}
    for _ in range(options.rounds):
        for name, run in runs.items():
            rates[name].append(run())
    for training in ours.values():
        training.close()
    if imitation is not None:
        imitation.close()

    reference = max(statistics.median(rates[name][1:]) for name in runs if name.startswith("plain"))
    print(f"\nPython {platform.python_version()}, torch {torch.__version__}, {os.cpu_count()} cores")
    print(f"ours on {describe_device(device)}; {rows} rows, batches of {BATCH}")
    print("median of all epochs but the first; ratio: to the faster of the plain loops")
    print(f"{'':<46}{'images/s':>10}{'ratio':>8}{'first epoch':>13}")
    for name, values in rates.items():
        rate = statistics.median(values[1:])
        print(f"{name:<46}{rate:>10.0f}{rate / reference:>8.2f}{values[0]:>13.0f}")


if __name__ == "__main__":
    main()
