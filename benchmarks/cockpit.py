"""The cockpit in figures: key to image, images per second, processor time, memory over an hour of driving.

    python benchmarks/cockpit.py                  # about two minutes; needs playwright and Chromium
    python benchmarks/cockpit.py --only memory    # some of the tables

"Key to image" is the time in the page from a key event until the image that answers to it is drawn. Watchers
are WebSocket clients that acknowledge each image at once, in a process of their own. Processor time is the
server's. The hour is simulated, sped up, with recording on and a lap's worth of discarding.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import shutil
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from udacity_gym.cockpit import Cockpit, Limits, Session, Setup, Workspace

TABLES = ("latency", "watchers", "memory")
PATIENT = Limits(command=1e5, round_trip=1e5, frozen=1e5, lost=1e5)
WARM_UP = 40
"""Keys before those that are measured: the first images compile and load."""
SECONDS = 8.0


def quantile(values: list[float], share: float) -> float:
    """A quantile, without interpolation."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def latency(driver: str, presses: int) -> None:
    """Key to image in Chromium."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder:
        cockpit = Cockpit(Workspace(folder), Session(Setup(driver=driver), limits=PATIENT))
        with cockpit, sync_playwright() as playwright:
            path = shutil.which("chromium")
            browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
            page = browser.new_context(bypass_csp=True).new_page()
            page.goto(cockpit.url)
            page.wait_for_function("() => cockpit.state.frame?.car", timeout=300_000)
            page.evaluate("() => { window.measured = []; cockpit.state.measured = window.measured; }")
            page.keyboard.press("p")
            for i in range(presses + WARM_UP):
                if i == WARM_UP:
                    page.evaluate("() => { measured.length = 0; }")
                page.keyboard.press("ArrowLeft")
                page.wait_for_timeout(60)
            values = page.evaluate("measured")
            browser.close()
    name = "by hand, steps of 1/30 s" if driver == "human" else "a policy drives, steps of 1/15 s"
    print(
        f"{name:<34} median {statistics.median(values):5.0f} ms   95 % {quantile(values, 0.95):5.0f} ms   "
        f"({len(values)} keys)"
    )


def watch(port: int, pages: int, seconds: float, results: Any) -> None:
    """Look on with several clients, and count the images."""
    from websockets.sync.client import connect

    counts = [0] * pages

    def look(i: int) -> None:
        origin = f"http://127.0.0.1:{port}"
        with connect(f"ws://127.0.0.1:{port}/socket", origin=origin, max_size=None) as socket:
            end = time.monotonic() + seconds
            sequence = 0
            while time.monotonic() < end:
                message = socket.recv(timeout=30)
                if isinstance(message, str):
                    continue
                length = int.from_bytes(message[:4], "little")
                header = json.loads(message[4 : 4 + length])
                counts[i] += bool(header["images"])
                sequence += 1
                socket.send(json.dumps(["shown", header["stamp"]]))
                steering = 0.3 if sequence % 40 < 20 else -0.3
                socket.send(json.dumps(["drive", header["stamp"], sequence, "u", steering, 0, 0]))

    threads = [threading.Thread(target=look, args=(i,)) for i in range(pages)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    results.put([count / seconds for count in counts])


def watchers(pages: int) -> None:
    """Images per second and processor time with some pages."""
    context = multiprocessing.get_context("spawn")
    with (
        tempfile.TemporaryDirectory() as folder,
        Cockpit(Workspace(folder), Session(limits=PATIENT)) as cockpit,
    ):
        for count, seconds in ((1, 4.0), (pages, SECONDS)):  # the first compiles
            results = context.Queue()
            process = context.Process(target=watch, args=(cockpit.port, count, seconds, results))
            before, start = time.process_time(), time.monotonic()
            process.start()
            rates = results.get()
            share = (time.process_time() - before) / (time.monotonic() - start)
            process.join()
    print(f"{pages:>3} pages   {min(rates):4.1f} to {max(rates):4.1f} images/s each   {share:5.0%} of a core")


def memory(minutes: float) -> None:
    """Memory over a long drive, sped up, with recording and discarding."""
    with tempfile.TemporaryDirectory() as folder:
        session = Session(Setup(driver="pure_pursuit"), limits=PATIENT, real_time=False)
        page = session.seats.join()
        stamp = session.seats.send(page)
        session.seats.show(page, stamp)
        state: dict[str, Any] = {}
        session.on_shot = lambda shot: state.update(shot.state)
        session.start()
        session.ask(lambda: session.record(Path(folder) / "hour")).result()
        session.ask(session.resume).result()
        marks: list[tuple[float, float]] = []
        start, next_mark = time.monotonic(), 60.0
        while next_mark <= 60.0 * minutes:
            seconds = state.get("tape", {}).get("seconds", 0.0)
            if seconds < next_mark:
                time.sleep(0.05)
                continue
            session.ask(lambda: session.discard(1.0)).result()
            session.ask(session.resume).result()
            marks.append((seconds, resident()))
            next_mark += 60.0 if next_mark < 300 else 300.0
        session.close()
    frames, passed = state["tape"]["frames"], time.monotonic() - start
    print(f"{minutes:g} minutes in {passed:.0f} s of real time, {frames} frames")
    for seconds, megabytes in marks:
        print(f"  after {seconds / 60:4.0f} min   {megabytes:6.0f} MB")


def resident() -> float:
    """Memory of this process now, MB."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=TABLES, default=TABLES)
    parser.add_argument("--minutes", type=float, default=60.0, help="simulated, of the table memory")
    options = parser.parse_args()
    tables = options.only
    if "latency" in tables:
        for driver in ("human", "pure_pursuit"):
            latency(driver, 100)
    if "watchers" in tables:
        for pages in (1, 10):
            watchers(pages)
    if "memory" in tables:
        memory(options.minutes)


if __name__ == "__main__":
    main()
