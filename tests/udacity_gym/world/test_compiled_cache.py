import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import udacity_gym

IMAGES = """
import hashlib
from udacity_gym.world.rendering.camera import CameraRig
from udacity_gym.world.track.track import Track

track = Track.load("lake")
rig = CameraRig(track)
for s in range(0, 1130, 40):
    for image in rig.draw_all(track.pose_at(s, 0.3, 0.05)).values():
        print(hashlib.sha256(image.tobytes()).hexdigest())
print(hashlib.sha256(rig.view("chase", track.pose_at(90.0), 320, 180).tobytes()).hexdigest())
"""
DRIVE = """
from udacity_gym.telemetry import Control
from udacity_gym.world.track.track import Track
from udacity_gym.world.physics.world import World

world = World(Track.load("lake"))
world.reset(0)
for _ in range(30):
    world.step(Control(0.0, 1.0))
print(world.speed)
"""


def run(script: str, package_parent: Path, cache: Path | str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(package_parent), "NUMBA_CACHE_DIR": str(cache)}
    command = [sys.executable, "-B", "-c", script]
    return subprocess.run(
        command, env=environment, cwd=package_parent, check=True, capture_output=True, text=True
    ).stdout


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """The library, copied so that its sources can be changed."""
    source = Path(udacity_gym.__file__).parent
    shutil.copytree(source, tmp_path / "udacity_gym", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


@pytest.mark.long
def test_images_are_the_same_whether_the_renderer_was_compiled_or_loaded(package):
    compiled = run(IMAGES, package, package / "cache")
    assert list((package / "cache").rglob("*.nbc"))
    assert len(compiled.split()) == 88
    assert run(IMAGES, package, package / "cache") == compiled


@pytest.mark.long
def test_a_change_of_any_source_of_the_physics_is_compiled_anew(package):
    before = run(DRIVE, package, package / "cache")
    assert run(DRIVE, package, package / "cache") == before
    car = package / "udacity_gym" / "world" / "physics" / "car.py"
    text = car.read_text(encoding="utf-8")
    changed = text.replace("drive = car.engine *", "drive = 0.5 * car.engine *")
    assert changed != text
    car.write_text(changed, encoding="utf-8")
    assert float(run(DRIVE, package, package / "cache")) < 0.7 * float(before)


@pytest.mark.long
def test_it_drives_where_nothing_can_be_kept(package):
    (package / "file").write_text("")
    assert float(run(DRIVE, package, package / "file" / "none")) > 5.0
