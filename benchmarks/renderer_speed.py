"""Images per second of the renderer around the lap of every track, on one core and on two.

    python benchmarks/renderer_speed.py                    # about two minutes
    python benchmarks/renderer_speed.py --profile          # and where the time of an image goes
    python benchmarks/renderer_speed.py --against FOLDER   # compared with another checkout of the project

Every round draws images at places all around the lap; printed are the median over rounds by the
clock on the wall and by the processor time of this process (the fairer figure where other programs
share the cores), and the best place-by-place figure (what an undisturbed core reaches).

--against compares this checkout with another one, which `git worktree add FOLDER COMMIT` makes. Each has a
process of its own. They draw the same lap in turns, so that whatever else the machine does slows both down.
Printed are images per second of processor time, and how much faster this checkout is in each pair of turns:
the median, and between what the middle half of the pairs lies.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import inspect
import os
import platform
import statistics
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numba
import numpy as np
from llvmlite import binding, ir
from numba.core import cgutils, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from udacity_gym.telemetry import CAMERAS
from udacity_gym.world import jit
from udacity_gym.world.rendering import renderer
from udacity_gym.world.rendering.camera import CameraRig, camera_row
from udacity_gym.world.track.track import Track

SIZES = ((320, 160), (200, 66), (84, 84))
TRACKS = ("lake", "jungle", "mountain")


@dataclass
class Args:
    """Options.

    Attributes:
        tracks: names or files of tracks, with commas between them.
        places: places around the lap.
        rounds: times around the lap.
        profile: measure where the time goes, too.
        processes: how many draw at once in the last table; 0 leaves it out.
        against: folder of another checkout, which is compared with this one; nothing else is measured.
    """

    tracks: str = ",".join(TRACKS)
    places: int = 48
    rounds: int = 5
    profile: bool = False
    processes: int = 2
    against: str = ""


def places_around(track: Track, places: int, cameras: int = 1) -> list[NDArray[np.float32]]:
    """Cameras at places evenly around the lap, where cars drive."""
    return [
        np.stack(
            [
                camera_row(track.pose_at(s, track.reference_offset), name, "autonomous")
                for name in CAMERAS[:cameras]
            ]
        )
        for s in np.linspace(0.0, track.length, places, endpoint=False)
    ]


def measure(rig: CameraRig, rows: list[NDArray[np.float32]], rounds: int) -> tuple[float, float, float]:
    """Sets of images per second: median by wall clock, median by processor time, best."""
    cameras = len(rows[0])
    out = np.empty((cameras, rig.height, rig.width, 3), np.uint8)
    overlays = list(range(cameras))
    best = [float("inf")] * len(rows)
    wall, cpu = [], []
    for k in range(rounds + 1):
        begun, begun_cpu = time.perf_counter(), time.process_time()
        for place, row in enumerate(rows):
            start = time.perf_counter()
            rig.renderer.render(row, out, overlays)
            best[place] = min(best[place], time.perf_counter() - start)
        if k > 0:  # the first round warms the caches
            wall.append(len(rows) / (time.perf_counter() - begun))
            cpu.append(len(rows) / (time.process_time() - begun_cpu))
    return statistics.median(wall), statistics.median(cpu), len(rows) / sum(best)


def in_processes(track: str, args: Args) -> float:
    """Images of 320x160 per second by the wall clock, of several processes together."""
    command = [sys.executable, __file__, "--tracks", track, "--places", str(args.places), "--processes", "-1"]
    running = [
        subprocess.Popen([*command, "--rounds", str(2 * args.rounds)], stdout=subprocess.PIPE, text=True)
        for _ in range(args.processes)
    ]
    return sum(float(process.communicate()[0].split()[-1]) for process in running)


SERVE = "serve"
"""First argument of a process that draws laps for `compare`."""


def serve(track_name: str, places: int) -> None:
    """Draw a lap for every line of the standard input; answer with the processor's seconds."""
    track = Track.load(track_name)
    rig, rows = CameraRig(track), places_around(track, places)
    out, digest = np.empty((1, rig.height, rig.width, 3), np.uint8), hashlib.sha256()
    for row in rows:
        rig.renderer.render(row, out, [0])
        digest.update(out)
    print(Path(renderer.__file__).resolve(), digest.hexdigest(), sep="\n", flush=True)
    for _ in sys.stdin:
        begun = time.process_time()
        for row in rows:
            rig.renderer.render(row, out, [0])
        print(time.process_time() - begun, flush=True)


class Checkout:
    """A process that draws laps with a checkout's renderer.

    Attributes:
        digest: of the images of a lap.
    """

    def __init__(self, folder: Path, track: str, places: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, SERVE, track, str(places)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(folder)},
        )
        used = Path(self._read())
        if folder not in used.parents:
            raise SystemExit(f"{folder} has no package udacity_gym: Python imported {used}")
        self.digest = self._read()

    def _read(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("the checkout's renderer failed, see above")
        return line.strip()

    def lap(self) -> float:
        """Draw a lap; the processor's seconds."""
        assert self._process.stdin is not None
        print(file=self._process.stdin, flush=True)
        return float(self._read())

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def compare(args: Args) -> None:
    """Print how fast this checkout draws compared with another one."""
    here, there = Path(__file__).resolve().parent.parent, Path(args.against).resolve()
    print(f"{'320x160':<10}{'there':>9}{'here':>9}   images/s of processor time; here is faster by")
    for track in args.tracks.split(","):
        checkouts = [Checkout(folder, track, args.places) for folder in (there, here)]
        pairs = np.array([[each.lap() for each in checkouts] for _ in range(1 + 10 * args.rounds)])[1:]
        low, middle, high = 100 * (np.percentile(pairs[:, 0] / pairs[:, 1], [25, 50, 75]) - 1)
        rates = args.places / np.median(pairs, axis=0)
        images = "the same images" if len({each.digest for each in checkouts}) == 1 else "other images"
        print(
            f"{track:<10}{rates[0]:>9,.0f}{rates[1]:>9,.0f}"
            f"   {middle:+.1f} % ({low:+.1f} to {high:+.1f}), {images}",
            flush=True,
        )
        for each in checkouts:
            each.close()


@intrinsic  # type: ignore[misc]
def cycles(typing_context: Any) -> Any:
    """The processor's own clock."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(ir.IntType(64), [])
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.readcyclecounter"), [])

    return types.uint64(), generate


def with_a_clock(kernel: Any) -> tuple[Callable[..., None], list[str]]:
    """The renderer's kernel with the clock read after every call of a stage; names of the stages."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(kernel.py_func)))
    function = tree.body[0]
    assert isinstance(function, ast.FunctionDef)
    function.decorator_list = []
    function.args.args.append(ast.arg("spent"))
    stages: list[str] = []

    def clocked(body: list[ast.stmt]) -> list[ast.stmt]:
        new: list[ast.stmt] = []
        for statement in body:
            for field in ("body", "orelse"):
                if getattr(statement, field, None):
                    setattr(statement, field, clocked(getattr(statement, field)))
            call = getattr(statement, "value", None)
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id != "min":
                if call.func.id not in stages:
                    stages.append(call.func.id)
                k = stages.index(call.func.id)
                before, after = f"_t = cycles(); spent[{k}] -= _t", f"_t = cycles(); spent[{k}] += _t"
                new += [*ast.parse(before).body, statement, *ast.parse(after).body]
            else:
                new.append(statement)
        return new

    function.body = clocked(function.body)
    names = {**vars(renderer), "cycles": cycles}
    exec(compile(ast.fix_missing_locations(tree), "<the renderer with a clock>", "exec"), names)
    compiled = numba.njit(
        nogil=True, pipeline_class=jit.NoAlias, fastmath=True, error_model="numpy", boundscheck=False
    )(names[function.name])
    return compiled, stages


def profile(tracks: list[Track], args: Args) -> None:
    """Print where the time of an image goes, and how much of the memory's bandwidth it takes."""
    plain = renderer._render
    compiled, stages = with_a_clock(plain)
    spent = np.zeros(len(stages), np.uint64)
    total = np.zeros(1, np.uint64)

    @numba.njit
    def now() -> Any:
        return cycles()

    def clocked(*arguments: Any) -> None:
        begun = now()
        compiled(*arguments, spent)
        total[0] += np.uint64(now() - begun)

    columns = {}
    for track in tracks:
        rig, rows = CameraRig(track), places_around(track, args.places)
        out = np.empty((1, rig.height, rig.width, 3), np.uint8)
        renderer._render = clocked
        least = np.full((len(rows), len(stages) + 1), np.inf)
        for _ in range(3 * args.rounds):
            for place, row in enumerate(rows):
                spent[:], total[:] = 0, 0
                rig.renderer.render(row, out, [0])
                counted = [*spent.astype(np.int64).tolist(), int(total[0])]
                if counted[-1] < least[place, -1]:  # the least disturbed image there
                    least[place] = counted
        renderer._render = plain
        columns[track.name] = least.mean(axis=0) / (rig.width * rig.height)
    print(f"\n{'cycles per pixel, 320x160':<28}" + "".join(f"{name:>20}" for name in columns))
    for k, stage in enumerate([*stages, "call and loop", "sum"]):
        line = ""
        for column in columns.values():
            rest = column[-1] - column[:-1].sum()
            value = [*column[:-1], rest, column[-1]][k]
            line += f"{value:>12.1f}{100 * value / column[-1]:>6.0f} %"
        print(f"{stage:<28}{line}")

    features = binding.get_host_cpu_features()
    widest = next((name for name in ("avx512f", "avx2", "neon") if features.get(name)), "none of them")
    big = np.ones(1 << 25, np.float32)
    other = np.empty_like(big)
    quickest = float("inf")
    for _ in range(12):
        begun = time.perf_counter()
        np.copyto(other, big)
        quickest = min(quickest, time.perf_counter() - begun)
    bandwidth = 2 * big.nbytes / quickest / 1e9
    print(f"\nvector instructions: {widest}, LLVM's name of the processor: {binding.get_host_cpu_name()}")
    print(f"memory: {bandwidth:.1f} GB/s of copying; 1,000 images/s of 320x160 are 0.15 GB/s")


def main() -> None:
    """Measure and print."""
    if sys.argv[1:2] == [SERVE]:
        serve(sys.argv[2], int(sys.argv[3]))
        return
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    for name, default in vars(Args()).items():
        if isinstance(default, bool):
            parser.add_argument(f"--{name}", action="store_true")
        else:
            parser.add_argument(f"--{name}", type=type(default), default=default)
    args = Args(**vars(parser.parse_args()))
    if args.against:
        compare(args)
        return
    tracks = [Track.load(name) for name in args.tracks.split(",")]
    if args.processes < 0:  # one of several
        rig = CameraRig(tracks[0])
        print(measure(rig, places_around(tracks[0], args.places), args.rounds)[0])
        return
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}{load}")
    head = f"{'size':>9} {'cameras':>8} {'images/s, wall':>17} {'processor':>10} {'undisturbed':>12}"
    alone = {}
    for track in tracks:
        begun = time.perf_counter()
        CameraRig(track).draw(track.pose_at(0.0), "center", "autonomous")
        print(f"\n{track.name}: scene and first image in {time.perf_counter() - begun:.2f} s\n{head}")
        for width, height in SIZES:
            sized = CameraRig(track, width, height)
            for cameras in (1, 3):
                rows = places_around(track, args.places, cameras)
                figures = [cameras * figure for figure in measure(sized, rows, args.rounds)]
                alone.setdefault(track.name, figures[0])
                wall, cpu, best = (f"{figure:,.0f}" for figure in figures)
                print(f"{width:>5}x{height:<3} {cameras:>8} {wall:>17} {cpu:>10} {best:>12}", flush=True)
    if args.processes:
        print(f"\n{args.processes} processes at once, images/s of 320x160, wall")
        for name, one in alone.items():
            several = in_processes(name, args)
            print(f"{name:<10} {one:>9,.0f} alone {several:>9,.0f} together, times {several / one:.2f}")
    if args.profile:
        profile(tracks, args)


if __name__ == "__main__":
    main()
