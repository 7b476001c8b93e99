"""What tests of the cockpit share: a clock that is set by hand, a car, a server, and a browser."""

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from udacity_gym.cockpit import Cockpit, Limits, Session, Workspace
from udacity_gym.cockpit.session import Shot
from udacity_gym.cockpit.setup import Setup

PATIENT = Limits(command=600.0, round_trip=600.0, frozen=600.0, lost=600.0)
"""Limits for tests that are not about them: a busy machine must not lock the wheel."""
WAIT = 240.0
"""s until a test that waits for something gives up."""


class HandClock:
    """A clock that stands still until it is set forward."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Watched:
    """A session whose moments can be waited for."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.shot: Shot | None = None
        self._changed = threading.Condition()
        session.on_shot = self._take

    def _take(self, shot: Shot) -> None:
        with self._changed:
            self.shot = shot
            self._changed.notify_all()

    def until(self, condition: Callable[[Any], Any]) -> Any:
        """Wait for a moment whose state fulfils a condition, and return the state."""
        deadline = time.monotonic() + WAIT
        with self._changed:
            while self.shot is None or not condition(self.shot.state):
                left = deadline - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    pytest.fail(f"it never happened; the last state is {self.shot and self.shot.state}")
            return self.shot.state


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def make_session() -> Iterator[Callable[..., Watched]]:
    """Makes sessions, which are closed after the test."""
    made: list[Session] = []

    def make(setup: Setup | None = None, **options: Any) -> Watched:
        session = Session(setup, **{"limits": PATIENT, "real_time": False, **options})
        watched = Watched(session)
        made.append(session)
        session.start()
        return watched

    yield make
    for session in made:
        session.close()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Cockpit]]:
    """Starts servers, which are closed after the test; the workspace is ``tmp_path / "workspace"``."""
    made: list[Cockpit] = []

    def start(
        setup: Setup | None = None, *, limits: Limits = PATIENT, clock: Any = time.monotonic, **options: Any
    ) -> Cockpit:
        session = Session(setup, limits=limits, clock=clock)
        cockpit = Cockpit(Workspace(tmp_path / "workspace"), session, **options)
        made.append(cockpit)
        cockpit.start()
        return cockpit

    yield start
    for cockpit in made:
        cockpit.close()


def chromium_path() -> str:
    path = shutil.which("chromium")
    if path is None:
        reason = "no chromium: run apt-get install -y chromium"
        if os.environ.get("UDACITY_GYM_REQUIRE_CHROMIUM"):
            pytest.fail(reason)
        pytest.skip(reason)
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A real Chromium without a window, for which cockpit.test is this machine, too."""
    path = chromium_path()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path,
            args=[
                "--no-sandbox",
                "--host-resolver-rules=MAP cockpit.test 127.0.0.1, MAP evil.test 127.0.0.1",
            ],
        )
        yield browser
        browser.close()


class Person:
    """A page of a browser, and what a person does there."""

    def __init__(self, browser: Any, url: str, view: str = "", **options: Any) -> None:
        # Playwright waits with eval, which the page's own policy forbids; test_the_page_obeys_its_policy.
        options = {"bypass_csp": True, "viewport": {"width": 1280, "height": 900}, **options}
        self.context = browser.new_context(**options)
        self.context.set_default_timeout(1000 * WAIT)
        self.page = self.context.new_page()
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(f"{url}#{view}")

    def until(self, condition: str) -> None:
        """Wait until an expression of JavaScript is true, such as ``state.frame.who == 'paused'``."""
        self.page.wait_for_function(f"() => {{ const {{ state }} = window.cockpit; return {condition}; }}")

    def value(self, expression: str) -> Any:
        """The value of an expression of JavaScript."""
        return self.page.evaluate(f"() => {{ const {{ state }} = window.cockpit; return {expression}; }}")

    def reads(self, selector: str, text: str) -> None:
        """Wait until a part of the page contains a text."""
        self.page.wait_for_function(
            "([selector, text]) => document.querySelector(selector)?.textContent.includes(text)",
            arg=[selector, text],
        )

    def ready(self) -> "Person":
        """Wait for the first image."""
        self.until("state.frame?.car && state.hello && state.features?.track")
        return self

    def hold(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.down(key)

    def release(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.up(key)


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Person]]:
    """Opens pages as people do, each in a browser of its own; no page may raise an error."""
    people: list[Person] = []

    def open_page(url: str, view: str = "", **options: Any) -> Person:
        person = Person(browser, url, view, **options)
        people.append(person)
        return person

    yield open_page
    errors = [error for person in people for error in person.errors]
    for person in people:
        person.context.close()
    assert errors == []
