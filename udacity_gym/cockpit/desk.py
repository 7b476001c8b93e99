"""What the page can ask for besides images: one method for each word, all checked here."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, TypeVar

from udacity_gym.cockpit.browse import Browser
from udacity_gym.cockpit.jobs import Jobs
from udacity_gym.cockpit.session import PACES, Session
from udacity_gym.cockpit.teaching import COLLECTED, Teaching
from udacity_gym.cockpit.workspace import Workspace, read_json
from udacity_gym.conditions import NAMED
from udacity_gym.driving.decision import HUMAN
from udacity_gym.driving.loading import pretrained_names
from udacity_gym.errors import OptionError

T = TypeVar("T")

CLIPS = (".webm", ".mp4")
SERVED = (*CLIPS, ".html", ".png", ".jpg", ".svg", ".json", ".csv")
"""Endings of the files of the workspace that the page may show."""
_SETTING = re.compile(r"[a-z_]+=[\w.,+-]+")
TIMEOUT = 120.0
"""s that a request may wait for the car, such as while kernels are compiled."""


class Desk:
    """Answers the page. Every public method but `close` and `poll` is a word that the page can say.

    Methods in `WATCHERS` only look, and are for everybody; all others are for whoever has the wheel.

    Attributes:
        workspace: the folder that the page may read and write.
        session: the car.
        jobs: trainings and evaluations.
        browser: the recordings.
    """

    WATCHERS = frozenset(
        {"hello", "contents", "overview", "episode", "steer", "jobs", "training", "evaluation"}
    )

    def __init__(
        self,
        workspace: Workspace,
        session: Session,
        device: str | None = None,
        precision: str | None = None,
    ) -> None:
        self.workspace, self.session = workspace, session
        self._computation = {"device": device, "precision": precision}
        self.jobs_list = Jobs(workspace.root / ".cockpit", workspace.root)
        self.browser = Browser(workspace, self.load)
        self._teaching: Teaching | None = None

    def load(self, name: str) -> Any:
        """Load a policy or make an expert; what the page names is in the workspace or an expert."""
        from udacity_gym.driving.loading import load_driver
        from udacity_gym.experts import EXPERTS

        if name in EXPERTS:
            from udacity_gym.experts import make_expert
            from udacity_gym.world.track.track import Track

            setup = self.session.setup
            return make_expert(name, Track.load(setup.track).facing(setup.direction))
        return load_driver(name, **self._computation)

    def answer(self, page: int, word: object, arguments: object) -> Any:
        """Do what a page asks for.

        Args:
            page: its number.
            word: name of a method.
            arguments: its keyword arguments.

        Returns:
            What JSON can say.

        Raises:
            OptionError: There is no such word, or the page only watches.
        """
        if not isinstance(word, str) or word not in WORDS or not isinstance(arguments, Mapping):
            raise OptionError(f"the cockpit can't {word!r}")
        if word not in self.WATCHERS and word != "wheel" and self.session.seats.driver != page:
            raise OptionError("somebody else has the wheel, and this page only watches")
        if word == "wheel":
            to = arguments.get("to")
            return self.session.seats.hand_over(page, to if isinstance(to, int) else None)
        try:
            return getattr(self, word)(**arguments)
        except TypeError as error:
            if "argument" not in str(error):
                raise
            raise OptionError(f"{word}: {error}") from error

    def _car(self, request: Callable[[], T]) -> T:
        return self.session.ask(request).result(TIMEOUT)

    # For everybody.

    def hello(self) -> dict[str, Any]:
        """What the page needs once: choices and limits."""
        from udacity_gym.evaluation import SUITES
        from udacity_gym.experts import EXPERTS
        from udacity_gym.world.track.track import built_in_tracks

        limits = self.session.seats.limits
        learners = {point.name for point in entry_points(group="udacity_gym.learners")}
        return {
            "workspace": str(self.workspace.root),
            "features": self.session.features,
            "tracks": list(built_in_tracks()),
            "conditions": list(NAMED),
            "experts": list(EXPERTS.names()),
            "paces": list(PACES),
            "suites": SUITES.names(),
            "learners": sorted(learners or {"bc"}),
            "limits": {"frozen": limits.frozen, "round_trip": limits.round_trip},
            "teaching": None if self._teaching is None else self._teaching.as_json(),
        }

    def contents(self) -> dict[str, Any]:
        """What is in the workspace, and the policies of this package after those of the workspace."""
        contents = self.workspace.contents()
        return {**contents, "policies": [*contents["policies"], *pretrained_names()]}

    def overview(self, name: str) -> dict[str, Any]:
        """See `Browser.overview`."""
        return self.browser.overview(name)

    def episode(self, name: str, number: int) -> dict[str, Any]:
        """See `Browser.episode`."""
        return self.browser.episode(name, number)

    def steer(self, name: str, number: int, policy: str) -> list[float]:
        """See `Browser.steer`."""
        return self.browser.steer(name, number, policy)

    def jobs(self) -> list[dict[str, Any]]:
        """All trainings and evaluations that this cockpit has started."""
        return self.jobs_list.as_json()

    def training(self, name: str) -> dict[str, Any]:
        """Epochs of a training so far, and rounds of a learner's."""
        folder = self.workspace.path(name)
        state, policy = (
            read_json(folder / "state" / "state.json"),
            read_json(folder / "policy" / "policy.json"),
        )
        log: list[Any] = []
        if isinstance(state, dict):
            log = state.get("epoch_log", [])
        elif isinstance(policy, dict):
            log = policy.get("training", {}).get("epoch_log", [])
        return {"name": name, "epochs": log, "rounds": read_json(folder / "rounds.json") or []}

    def evaluation(self, name: str) -> dict[str, Any]:
        """Results of an evaluation, and the files that can be shown."""
        folder = self.workspace.existing(name)
        comparison, evaluation = read_json(folder / "comparison.json"), read_json(folder / "evaluation.json")
        clips = sorted(
            self.workspace.name_of(path)
            for path in folder.rglob("*")
            if path.suffix in CLIPS and path.is_file()
        )
        report = folder / "report.html"
        result = {
            "name": name,
            "clips": clips,
            "report": self.workspace.name_of(report) if report.exists() else None,
            "comparison": comparison,
            "incidents": [],
            "measures": None,
        }
        if isinstance(evaluation, dict):
            result["measures"] = {
                key: value
                for key, value in evaluation.items()
                if isinstance(value, (int, float, str)) and not isinstance(value, bool)
            }
            result["incidents"] = evaluation.get("incidents", [])
        return result

    # Driving.

    def configure(self, **changes: Any) -> None:
        """Change track, direction, conditions, driver or seed."""
        driver = changes.get("driver")
        if driver not in (None, HUMAN):
            changes["driver"] = self._driver(driver)
        self._car(lambda: self.session.configure(changes))

    def _driver(self, name: object) -> str:
        """The name of an expert or of a policy of this package as it is, or the path of a policy."""
        from udacity_gym.experts import EXPERTS

        known = (*EXPERTS.names(), *pretrained_names())
        return str(name) if name in known else str(self.workspace.existing(name))

    def retry(self) -> None:
        """Drive again what has failed."""
        self._car(self.session.retry)

    def pause(self) -> None:
        """Hold the world, or go on."""
        self._car(self.session.toggle_pause)

    def resume(self) -> None:
        """Go on."""
        self._car(self.session.resume)

    def step(self) -> None:
        """Drive one step."""
        self._car(self.session.single_step)

    def restart(self) -> None:
        """Put the car at the start."""
        self._car(self.session.restart)

    def press(self, button: str) -> None:
        """Take over, or hand back."""
        if button not in ("take_over", "hand_back"):
            raise OptionError(f"no button {button!r}")
        self._car(lambda: self.session.press(button))

    def pace(self, pace: float) -> None:
        """Slow motion and back."""
        self._car(lambda: self.session.set_pace(pace))

    def view(self, view: str, cameras: bool) -> None:
        """Choose what the images show."""
        self._car(lambda: self.session.set_view(view, cameras))

    def record(self, folder: str) -> None:
        """Start to record in a folder, or go on after a pause."""
        path = self.workspace.path(folder)
        if path.exists() and any(path.iterdir()) and not (path / "driving_log.csv").exists():
            raise OptionError(f"{folder!r} holds something else than a recording; choose another name")
        self._car(lambda: self.session.record(path))

    def pause_recording(self) -> None:
        """Record nothing for a while."""
        self._car(self.session.tape.pause)

    def finish(self) -> int:
        """Close the recording."""
        frames = self._car(self.session.finish)
        return frames

    def discard(self, seconds: float | None = 5.0) -> int:
        """Throw away the last seconds, the episode (None), or the last correction of a round."""
        if seconds is not None and (not isinstance(seconds, (int, float)) or not 0 < seconds <= 300):
            raise OptionError(f"seconds must be in (0, 300], got {seconds!r}")
        return self._car(lambda: self.session.discard(seconds))

    def drop(self, seconds: float) -> None:
        """Choose how much is thrown away before a fall."""
        self._car(lambda: self.session.set_drop(seconds))

    # Teaching.

    def begin_teaching(self, name: str, lesson: Any) -> dict[str, Any]:
        """Begin a session of DAgger."""
        self._teaching = Teaching.begin(self.workspace, self.jobs_list, name, lesson)
        return self._teaching.as_json()

    def resume_teaching(self, name: str) -> dict[str, Any]:
        """Go on with a session of DAgger."""
        self._teaching = Teaching.resume(self.workspace, self.jobs_list, name)
        return self._teaching.as_json()

    def leave_teaching(self) -> None:
        """Close the session of DAgger; it can be resumed."""
        if self._teaching is not None and self._teaching.phase == "driving":
            raise OptionError("end the round first")
        self._teaching = None

    def drive_round(self) -> None:
        """Prepare the next round; `start_round` lets the car go."""
        teaching = self._session_of_dagger()
        self._car(lambda: teaching.drive(self.session))

    def start_round(self) -> None:
        """Count down, and let the car go."""
        self._car(self.session.count_down)

    def end_round(self, keep: bool = True) -> None:
        """End the round, and train on it, or throw it away."""
        teaching = self._session_of_dagger()
        self._car(lambda: teaching.end(self.session, bool(keep)))

    def train_round(self) -> None:
        """Train on a round that was collected, after an interruption."""
        self._session_of_dagger().train()

    def label(self, name: str, labels: Mapping[str, Any]) -> None:
        """Write labels of frames: name of the centre image to steering in [-1, 1], or "skip"."""
        self.workspace.existing(name)
        for image, label in labels.items():
            is_number = isinstance(label, (int, float)) and not isinstance(label, bool) and -1 <= label <= 1
            if not (label == "skip" or is_number):
                raise OptionError(f"the label of {image} must be in [-1, 1] or 'skip', got {label!r}")
        path = self.jobs_list.folder / f"labels-{len(self.jobs_list.as_json()) + 1}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(dict(labels)), encoding="utf-8")
        words = ["-m", "udacity_gym.cli.teaching", "label", str(self.workspace.root), name, str(path)]
        owner = name.removesuffix(f"/{COLLECTED}")
        job = self.jobs_list.start("label", owner, words, labels=len(labels))
        if job.process.wait(TIMEOUT) != 0:
            raise OptionError(f"the labels could not be written: {job.as_json()['error']}")
        self.browser.forget(name)

    def _session_of_dagger(self) -> Teaching:
        if self._teaching is None:
            raise OptionError("begin a session, or resume one")
        return self._teaching

    # Recordings.

    def edit(self, name: str, kind: str, **arguments: Any) -> dict[str, Any]:
        """See `Browser.edit`."""
        return self.browser.edit(name, kind, **arguments)

    # Training and judging.

    def train(
        self,
        recordings: list[str],
        output: str,
        learner: str = "bc",
        settings: str = "",
        track: str = "lake",
    ) -> int:
        """Start a training; returns the job's number."""
        if not isinstance(recordings, list) or not recordings:
            raise OptionError("choose a recording to train on")
        words = settings.split()
        for setting in words:
            if not _SETTING.fullmatch(setting):
                raise OptionError(f"{setting!r} is no setting; an example is epochs=5")
        if not re.fullmatch(r"\w+", learner):
            raise OptionError(f"no learner {learner!r}")
        folder = self.workspace.path(output)
        paths = [str(self.workspace.existing(recording)) for recording in recordings]
        options = [word for setting in words for word in ("--option", setting)]
        command = ["-m", "udacity_gym", "train", *paths, "--output", str(folder), "--algorithm", learner]
        epochs = next((word.partition("=")[2] for word in words if word.startswith("epochs=")), None)
        job = self.jobs_list.start(
            "train",
            self.workspace.name_of(folder),
            [*command, "--track", self._track(track), *options],
            recordings=recordings,
            learner=learner,
            epochs=None if epochs is None else int(epochs),
        )
        return job.number

    def evaluate(
        self,
        policies: list[str],
        output: str,
        suite: str | None = None,
        laps: int = 1,
        track: str = "lake",
        conditions: str = "clear",
    ) -> int:
        """Start an evaluation, or a suite of several policies; returns the job's number."""
        from udacity_gym.evaluation import SUITES

        if not isinstance(policies, list) or not policies:
            raise OptionError("choose a policy")
        named = [self._driver(name) for name in policies]
        folder = (
            self.workspace.path(self.workspace.unused(output))
            if suite is None
            else self.workspace.path(output)
        )
        command = ["-m", "udacity_gym", "evaluate", *named, "--output", str(folder)]
        for option, value in self._computation.items():
            command += [] if value is None else [f"--{option}", value]
        if suite is not None:
            SUITES.find(suite)
            command += ["--suite", suite, "--incident-videos"]
        else:
            if not isinstance(laps, int) or not 1 <= laps <= 100:
                raise OptionError(f"laps must be in [1, 100], got {laps!r}")
            if conditions not in NAMED:
                raise OptionError(f"no conditions {conditions!r}")
            command += ["--laps", str(laps), "--track", self._track(track), "--conditions", conditions]
        name = self.workspace.name_of(folder)
        return self.jobs_list.start("evaluate", name, command, policies=policies, suite=suite).number

    def stop_job(self, number: int) -> None:
        """Stop a training or an evaluation; it keeps what it has."""
        self.jobs_list.stop(number)

    def _track(self, name: str) -> str:
        from udacity_gym.world.track.track import built_in_tracks

        if name not in built_in_tracks():
            raise OptionError(f"no track {name!r}; there are {', '.join(built_in_tracks())}")
        return name

    # For the server.

    def poll(self) -> dict[str, Any]:
        """What changes by itself: jobs and the session of DAgger."""
        return {
            "jobs": self.jobs_list.as_json(),
            "teaching": None if self._teaching is None else self._teaching.as_json(),
        }

    def file(self, name: str) -> Path:
        """A file of the workspace that the page may show.

        Raises:
            OptionError: There is none, or it is of another kind.
        """
        path = self.workspace.existing(name)
        if not path.is_file() or path.suffix not in SERVED:
            raise OptionError(f"{name!r} is no file that can be shown")
        return path

    def close(self) -> None:
        """End all jobs."""
        self.jobs_list.close()


WORDS = frozenset(
    name
    for name, value in vars(Desk).items()
    if callable(value)
    and not name.startswith("_")
    and name not in ("answer", "load", "poll", "file", "close")
) | {"wheel"}
"""What a page can say."""
