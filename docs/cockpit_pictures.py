"""The pictures of docs/cockpit.md: every view, light and dark, on a desktop and on a phone.

Made by `docs/build.py cockpit`, which needs the extra ``cockpit``, playwright and Chromium
(``apt-get install -y chromium``). A workspace with a recording, a session of DAgger and an evaluation is made
first, and deleted afterwards.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import gymnasium
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

import udacity_gym  # noqa: F401 - registers the environment
from udacity_gym.cockpit import Cockpit, Limits, Session, Setup, Workspace
from udacity_gym.experts import PurePursuit
from udacity_gym.recording import record
from udacity_gym.telemetry import CAMERAS

IMAGES = Path(__file__).parent / "images"
PATIENT = Limits(command=60.0, round_trip=60.0, frozen=60.0, lost=60.0)
"""A busy machine must not lock the wheel in a picture."""
WAIT = 200_000
"""ms."""
DESKTOP = {"viewport": {"width": 1360, "height": 860}}
PHONE = {
    "viewport": {"width": 390, "height": 844},
    "has_touch": True,
    "is_mobile": True,
    "device_scale_factor": 2,
}
LESSON = {
    "rounds": 3,
    "frames": 3000,
    "members": 2,
    "epochs": 2,
    "steps_per_epoch": 12,
    "laps": 0,
    "budget": 500,
}


def fill(workspace: Path) -> None:
    """Make what the pictures show."""
    if not (workspace / "laps-monday").exists():
        env = gymnasium.make("UdacitySim-v0", cameras=CAMERAS, mode="training")
        record(env, PurePursuit(), workspace / "laps-monday", seconds=60.0)
        record(env, PurePursuit(speed=9.0), workspace / "laps-monday", seconds=30.0, seed=1, append=True)
        env.close()
    if not (workspace / "evaluation").exists():
        words = ["evaluate", "pure_pursuit", "--laps", "1", "--output", str(workspace / "evaluation")]
        subprocess.run([sys.executable, "-m", "udacity_gym", *words], check=True)


def open_page(browser: Browser, url: str, view: str, scheme: str, **options: Any) -> Page:
    """Open a view, and wait until it is there."""
    context = browser.new_context(bypass_csp=True, color_scheme=scheme, **options)
    context.set_default_timeout(WAIT)
    page = context.new_page()
    page.goto(f"{url}#{view}")
    until(page, "state.frame?.car && state.features?.track")
    return page


def until(page: Page, condition: str) -> None:
    """Wait for an expression of JavaScript."""
    page.wait_for_function(f"() => {{ const {{ state }} = window.cockpit; return {condition}; }}")


def shoot(page: Page, name: str) -> None:
    """Keep a picture of the page."""
    image = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    image.save(IMAGES / f"cockpit-{name}.webp", quality=80, method=6)


def drive(page: Page) -> None:
    """Drive a stretch by hand, recording, and stop in the bend."""
    page.keyboard.press("c")
    page.keyboard.press("r")
    page.keyboard.down("ArrowUp")
    until(page, "state.frame.who === 'driving' && state.frame.tape.frames > 25")
    page.keyboard.down("ArrowLeft")
    until(page, "state.frame.car.steering < -0.1")


def release(page: Page) -> None:
    """Let go, and finish the recording."""
    for key in ("ArrowUp", "ArrowLeft"):
        page.keyboard.up(key)
    page.keyboard.press("p")
    until(page, "state.frame.who === 'paused'")
    page.click("#finish")


def pictures_of_driving(browser: Browser, url: str) -> None:
    """The view Drive, light, dark and on a phone."""
    for scheme in ("light", "dark"):
        page = open_page(browser, url, "drive", scheme, **DESKTOP)
        page.fill("#folder", "by-hand")
        page.locator("#folder").blur()
        page.click("#restart")
        drive(page)
        shoot(page, f"drive-{scheme}")
        release(page)
        page.keyboard.press("c")
        page.context.close()
    for scheme in ("light", "dark"):
        page = open_page(browser, url, "drive", scheme, **PHONE)
        shoot(page, f"drive-phone-{scheme}")
        page.context.close()


def film(browser: Browser, url: str) -> None:
    """An animated picture: a policy drives, and a human takes over."""
    page = open_page(browser, url, "drive", "light", viewport={"width": 1040, "height": 900})
    page.select_option("#driver", "pure_pursuit")
    until(page, "state.frame.setup.driver === 'pure_pursuit' && state.frame.car")
    page.locator("#driver").blur()
    page.click("#slow")
    until(page, "state.frame.pace < 1")
    page.click("#pause")
    until(page, "state.frame.who === 'autonomous' && state.frame.car.speed > 4")
    images = []
    for i in range(40):
        if i == 12:
            page.keyboard.down("ArrowUp")
            page.keyboard.press("ArrowLeft")
            until(page, "state.frame.who === 'correcting'")
        if i == 26:
            page.keyboard.up("ArrowUp")
            page.keyboard.press("Enter")
            until(page, "state.frame.who === 'autonomous'")
        box = page.locator(".stage").bounding_box()
        assert box is not None
        image = Image.open(io.BytesIO(page.screenshot(clip=box))).convert("RGB")  # type: ignore[arg-type]
        images.append(image.resize((600, 600 * round(box["height"]) // round(box["width"]))))
        page.wait_for_timeout(60)
    page.click("#pause")
    page.click("#slow")
    images[0].save(
        IMAGES / "cockpit.webp",
        save_all=True,
        append_images=images[1:],
        duration=110,
        loop=0,
        quality=55,
        method=4,
    )
    page.select_option("#driver", "human")
    until(page, "state.frame.setup.driver === 'human' && state.frame.car")
    page.context.close()


def pictures_of_teaching(browser: Browser, url: str, workspace: Path) -> None:
    """The view Teach: before a session, in a round, and between rounds."""
    page = open_page(browser, url, "teach", "dark", **DESKTOP)
    if (workspace / "teach-lake").exists():
        page.click("button:has-text('teach-lake')")
    else:
        for name, value in LESSON.items():
            page.fill(f"#lesson-{name}", str(value))
        page.click("#begin")
        until(page, "state.poll.teaching?.phase === 'training' && state.poll.teaching.job.share > 0.2")
        shoot(page, "teach-training-dark")
    until(page, "state.poll.teaching?.phase === 'ready'")
    while page.evaluate("cockpit.state.poll.teaching.round") < 3:
        page.click("#drive-round")
        page.click("#start-round")
        until(page, "state.frame.round && state.frame.round.frames > 30")
        page.keyboard.down("ArrowLeft")
        until(page, "state.frame.who === 'correcting' && state.frame.round.labels > 6")
        shoot(page, "teach-dark")
        page.emulate_media(color_scheme="light")
        shoot(page, "teach-light")
        page.emulate_media(color_scheme="dark")
        page.keyboard.up("ArrowLeft")
        until(page, "state.frame.round.frames > 90")
        page.click("#end-round")
        until(page, "state.poll.teaching?.phase === 'ready' && !state.frame.round")
    page.emulate_media(color_scheme="light")
    page.wait_for_selector(".plot canvas")
    shoot(page, "teach-ready-light")
    page.set_viewport_size({"width": 390, "height": 844})
    shoot(page, "teach-phone-light")
    page.context.close()


def pictures_of_looking_back(browser: Browser, url: str) -> None:
    """The views Recordings and Judge."""
    for scheme in ("light", "dark"):
        page = open_page(browser, url, "recordings", scheme, **DESKTOP)
        page.click(".list button:has-text('laps-monday')")
        page.wait_for_selector("text=1,350 frames")
        page.wait_for_selector(".film img")
        page.wait_for_selector(".plot canvas")
        page.locator("#scrub").fill("320")
        page.wait_for_load_state("networkidle")
        shoot(page, f"recordings-{scheme}")
        page.click("nav a[href='#judge']")
        page.click("button:has-text('evaluation')")
        page.wait_for_selector("video")
        page.locator("text=Earlier evaluations").scroll_into_view_if_needed()
        shoot(page, f"judge-{scheme}")
        page.context.close()
    page = open_page(browser, url, "recordings", "dark", **PHONE)
    page.wait_for_selector(".film img")
    page.wait_for_load_state("networkidle")
    shoot(page, "recordings-phone-dark")
    page.click("nav a[href='#judge']")
    page.wait_for_selector("#evaluate")
    shoot(page, "judge-phone-dark")
    page.context.close()


def build(workspace: Path | None = None) -> None:
    """Make all pictures.

    Args:
        workspace: folder for what they show, to keep it; None takes a temporary one.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = workspace or Path(temporary)
        fill(folder)
        session = Session(Setup(), limits=PATIENT)
        with Cockpit(Workspace(folder), session) as cockpit, sync_playwright() as playwright:
            path = shutil.which("chromium")
            browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
            pictures_of_driving(browser, cockpit.url)
            film(browser, cockpit.url)
            pictures_of_teaching(browser, cockpit.url, folder)
            pictures_of_looking_back(browser, cockpit.url)
            browser.close()
