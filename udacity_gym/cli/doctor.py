"""``udacity-gym doctor``: check the installation."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from udacity_gym.cli.options import About
from udacity_gym.cli.shared import EXPERT, load_driver, make_env
from udacity_gym.installation import DISTRIBUTION, EXTRAS, conflict_of, hidden_package, install_command
from udacity_gym.protocol.ports import Kind, count_clients, identify, listener, wait_for_knock
from udacity_gym.sensors import IMAGE_SIZE
from udacity_gym.text import count

Status: TypeAlias = Literal["ok", "warn", "fail"]

KINDS: dict[Kind, str] = {
    "udacity-gym": "an environment of udacity-gym, which waits for a simulator or drives one",
    "driver": "a Socket.IO server, such as a drive.py",
    "web server": "a web server, which is no driver",
    "unknown": "a program that speaks no HTTP",
}
MAX_PORT = 65535
KNOCK_SECONDS = 1.2
"""s to wait for a simulator that tries to connect; ours tries once a second."""
LITTLE_SPACE = 2e9
"""Free bytes below which a longer recording may not fit."""
NO_SPACE = 2e8
"""Free bytes below which the demo does not fit."""


@dataclass(frozen=True)
class Options:
    """Check the installation, the port, the renderer, and a policy."""

    policy: Annotated[str | None, About("also check that this policy loads and drives")] = None
    port: Annotated[int, About("port on which simulators connect")] = 4567


@dataclass(frozen=True)
class Check:
    """Result of one check, a line of the table.

    Attributes:
        name: what was checked.
        status: "ok", "warn" (works with limits) or "fail" (something essential does not work).
        result: what the check found.
        advice: how to solve the problem.
    """

    name: str
    status: Status
    result: str
    advice: str = ""


def run(options: Options) -> int:
    """Run all checks. Exit status 1 if an essential check fails."""
    width = 24
    failed = 0
    for check in checks(options):
        failed += check.status == "fail"
        print(f"{check.status:<5} {check.name:<{width}} {check.result}")
        if check.advice:
            print(f"{'':<{6 + width}} -> {check.advice}")
    print()
    print("All checks passed." if not failed else f"{count(failed, 'problem')} must be fixed first.")
    return 1 if failed else 0


def checks(options: Options) -> Iterator[Check]:
    """Run all checks, one after the other."""
    yield _python()
    yield from _packages()
    yield from _extras()
    guarded_checks: list[tuple[str, Callable[[], Check]]] = [
        ("OpenCV", _opencv),
        ("torch", _torch),
        ("algorithms", _algorithms),
        ("images", _images),
        ("video", _video),
        ("window", _window),
    ]
    if options.policy is not None:
        policy = options.policy
        guarded_checks.append(("policy", lambda: _policy(policy)))
    for name, check in guarded_checks:
        yield _guarded(name, check)
    yield _port(options.port)
    yield _disk(Path.cwd())


def _guarded(name: str, check: Callable[[], Check]) -> Check:
    """Run a check. An exception becomes a failed check."""
    try:
        return check()
    except Exception as error:
        advice = "read the message; if a package is broken, install it again in a fresh virtual environment"
        return Check(name, "fail", f"{type(error).__name__}: {error}", advice)


def _python() -> Check:
    return Check("Python", "ok", f"{platform.python_version()} at {sys.executable}")


def _packages() -> Iterator[Check]:
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        texts = importlib.metadata.requires(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        yield Check(DISTRIBUTION, "warn", "not installed; imported from a source folder", install_command())
        return
    yield Check(DISTRIBUTION, "ok", importlib.metadata.version(DISTRIBUTION))
    for text in texts:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        yield _package(requirement.name, str(requirement.specifier))


def _package(name: str, required: str) -> Check:
    from packaging.specifiers import SpecifierSet

    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return Check(name, "fail", "not installed", f'pip install "{name}{required}"')
    if SpecifierSet(required).contains(version, prereleases=True):
        return Check(name, "ok", version)
    return Check(name, "warn", f"{version}, but {required} is required", f'pip install "{name}{required}"')


def _extras() -> Iterator[Check]:
    """Whether each extra is installed, and how to install it, or why it can't be installed here."""
    for name, extra in EXTRAS.items():
        missing_modules = [module for module in extra.modules if find_spec(module) is None]
        conflict = conflict_of(name)
        if not missing_modules:
            yield Check(f"extra {name}", "ok", f"installed: {extra.purpose}")
            continue
        part = "" if len(missing_modules) == len(extra.modules) else f" ({', '.join(missing_modules)})"
        result = f"not installed{part}; for {extra.purpose}"
        advice = (
            install_command(name) if conflict is None else f"an environment of its own, because {conflict}"
        )
        yield Check(f"extra {name}", "ok", result, advice)


def _opencv() -> Check:
    import cv2

    installed = [
        name
        for name in ("opencv-python", "opencv-python-headless", "opencv-contrib-python")
        if _is_installed(name)
    ]
    if len(installed) > 1:
        advice = f"they overwrite each other: pip uninstall {' '.join(installed)}, then install only one"
        return Check("OpenCV", "warn", f"installed more than once: {', '.join(installed)}", advice)
    return Check("OpenCV", "ok", f"{cv2.__version__} loads")


def _is_installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _torch() -> Check:
    if find_spec("torch") is None:
        return Check("torch", "ok", "not installed; PilotNets drive without it, the extra train installs it")
    import torch

    from algorithms.policies.device import describe_device, find_device, quickest_precision

    device = find_device()
    quickest = quickest_precision(device)
    return Check(
        "torch",
        "ok",
        f"{torch.__version__} loads, {torch.get_num_threads()} threads; trains on {describe_device(device)}, "
        f"quickest in {quickest}",
    )


def _algorithms() -> Check:
    problem = hidden_package()
    if problem is not None:
        return Check("algorithms", "fail", "another package of this name is imported", problem)
    import algorithms

    return Check("algorithms", "ok", f"the learners load from {Path(str(algorithms.__file__)).parent}")


def _images() -> Check:
    import numpy as np

    env = make_env("lake")
    try:
        start_time = time.perf_counter()
        image, _ = env.reset(seed=0)
        env.step(np.array([0.0, 1.0], np.float32))
        first = time.perf_counter() - start_time
        start_time = time.perf_counter()
        for _ in range(20):
            image, *_ = env.step(np.array([0.0, 1.0], np.float32))
        rate = 20 / (time.perf_counter() - start_time)
    finally:
        env.close()
    if image.shape != (*IMAGE_SIZE, 3) or image.std() < 5:
        return Check("images", "fail", "the image of the lake track is empty", "reinstall numba")
    result = f"the lake track is rendered, {rate:.0f} steps per second"
    if first < 10:
        return Check("images", "ok", f"{result}; compiled kernels are cached, ready in {first:.1f} s")
    result += f"; compiling the kernels took {first:.0f} s"
    if _cache_is_writable():
        return Check("images", "ok", f"{result}, once on this machine")
    advice = "set NUMBA_CACHE_DIR to a writable folder; the folder of the package is read-only"
    return Check("images", "warn", f"{result}, every time", advice)


def _cache_is_writable() -> bool:
    import udacity_gym

    folder = os.environ.get("NUMBA_CACHE_DIR") or str(Path(udacity_gym.__file__).parent / "world")
    return os.access(folder, os.W_OK)


def _video() -> Check:
    import numpy as np

    from udacity_gym.evaluation import DriveVideo

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "check.webm"
        with DriveVideo(path, width=64, height=64) as video:
            for brightness in (0, 128, 255):
                video.write(np.full((64, 64, 3), brightness, np.uint8))
        size = path.stat().st_size
    if size < 100:
        return Check(
            "video", "fail", "the video is empty", "pip install --force-reinstall opencv-python-headless"
        )
    return Check("video", "ok", "VP8 in WebM can be written")


def _window() -> Check:
    from udacity_gym.window import why_no_window

    problem = why_no_window()
    if problem is None:
        return Check("window", "ok", 'there is a display for render_mode="human"')
    return Check("window", "ok", "no display or no pygame; use videos and images instead")


def _policy(policy: str) -> Check:
    import numpy as np

    driver = load_driver(policy, "lake")
    if policy == EXPERT or not hasattr(driver, "predict"):
        return Check("policy", "ok", "the built-in expert")
    action, _ = driver.predict(np.zeros((*IMAGE_SIZE, 3), np.uint8))
    if not np.isfinite(action).all():
        return Check(
            "policy", "fail", f"{policy} predicts {action}", "train it again with a lower learning rate"
        )
    return Check("policy", "ok", f"{driver!r} loads and predicts an action")


def _port(port: int) -> Check:
    name = f"port {port}"
    if port > MAX_PORT:
        return Check(name, "warn", "there is no such port", f"choose one from 1 to {MAX_PORT}")
    try:
        client = wait_for_knock(port, KNOCK_SECONDS)
    except OSError as error:
        return _taken_port(name, port, error)
    if client == "a simulator":
        return Check(
            name,
            "ok",
            "free, and a simulator tries to connect",
            'start a driver: gym.make("UdacitySim-v0", simulator="remote"), or drive.py',
        )
    if client is not None:
        return Check(name, "ok", f"free, but a program that is no simulator asks for {client!r}")
    return Check(name, "ok", "free for a simulator in another process; none tries to connect now")


def _taken_port(name: str, port: int, error: OSError) -> Check:
    clients = "; a client is connected to it" if count_clients(port) else ""
    owner, kind = listener(port), identify(port)
    if owner is None and kind == "unknown":
        reason = f"can't be used ({error.strerror}), but no program answers there"
        return Check(name, "warn", reason, "wait a minute, or choose another port")
    result = f"in use by {owner or 'another program'}: {KINDS[kind]}{clients}"
    advice = "only needed for a simulator in another process: stop that program or choose another port"
    return Check(name, "warn", result, advice)


def _disk(folder: Path) -> Check:
    free = shutil.disk_usage(folder).free
    result = f"{free / 1e9:.1f} GB free in {folder}"
    if free < NO_SPACE:
        return Check("disk", "fail", result, "free some space: the demo needs about 0.2 GB")
    if free < LITTLE_SPACE:
        return Check("disk", "warn", result, "an hour of recording needs about 2 GB")
    return Check("disk", "ok", result)
