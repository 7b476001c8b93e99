"""Episodes of a suite as lines of JSON: one line each, added whole, read back: `Episode`, `EpisodeLog`."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from udacity_gym.errors import UdacityGymError
from udacity_gym.evaluation.result import Evaluation
from udacity_gym.evaluation.suites import Case, Scenario, Suite
from udacity_gym.world.track.track import Track

FORMAT = "udacity-gym-episode"
VERSION = 2
"""In version 1, ``identity`` was another hash, which can't be compared with those of today."""
BEGINNING = f'{{"format": "{FORMAT}", '.encode()
"""What every line begins with."""


@dataclass(frozen=True, slots=True)
class Film:
    """Images of an incident.

    Attributes:
        caption: what happened.
        strip: file of the images side by side, relative to the folder of the log.
        video: file of the video, None if there is none.
    """

    caption: str
    strip: str
    video: str | None = None


@dataclass(frozen=True, slots=True)
class Episode:
    """One drive of a suite, as it went.

    Attributes:
        case: which one.
        evaluation: what was found.
        films: images of its incidents.
    """

    case: Case
    evaluation: Evaluation
    films: tuple[Film, ...] = ()


class EpisodeLog:
    """A file of episodes, a line of JSON each.

    A line is written at once and flushed to the disk, so that whatever happens loses one line at most. A
    torn last line is cut off when the log is opened to be written to.

    Attributes:
        path: the file.
        suite: whose episodes.
        about: who drove which suite; every line says so.
    """

    def __init__(
        self,
        path: str | Path,
        suite: Suite,
        policy: str,
        identity: str | None = None,
        *,
        identity_is_given: bool = False,
    ) -> None:
        """Open a log to add to.

        Args:
            path: the file; made with its folder if there is none.
            suite: whose episodes.
            policy: who drives.
            identity: what tells this policy from others of that name, see `identity_of`.
            identity_is_given: whether the caller says what the identity is, so that it can be compared with
                that of a log of any version.

        Raises:
            UdacityGymError: The file can't be written, or is no log.
        """
        self.path = Path(path)
        self.suite = suite
        self.about = _about(suite, policy, identity)
        self._identity_is_given = identity_is_given
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(self.path, "ab+")  # noqa: SIM115 - closed in `close`
        except OSError as error:
            raise UdacityGymError(
                f"can't write {path}: {error.strerror}; choose a place that can be written to"
            ) from error
        try:
            self._mend()
        except BaseException:
            self._file.close()
            raise

    def _mend(self) -> None:
        """Cut off a line that was not written to its end, of a file that surely is a log."""
        self._file.seek(0)
        content = self._file.read()
        whole = content.rfind(b"\n") + 1
        torn = content[whole:]
        if not torn:
            return
        _lines(self.path)
        if not torn.startswith(BEGINNING[: len(torn)]):
            raise UdacityGymError(
                f"{self.path} ends with something that is not an episode: {torn[:40]!r}; choose another file"
            )
        self._file.truncate(whole)

    def read(self) -> list[Episode]:
        """The episodes so far.

        Raises:
            UdacityGymError: They are of another policy or another suite, not of its cases, or no episodes.
        """
        episodes, is_old = [], False
        for number, data in _lines(self.path):
            known = dict(self.about)
            if data.pop("version") == 1 and not self._identity_is_given:
                del known["identity"]
                is_old = True
            del known["version"]
            for key, value in known.items():
                if data.get(key) != value:
                    same = "; run_suite(..., identity=...) says that it is the same" * (key == "identity")
                    raise UdacityGymError(
                        f"{self.path}, line {number}: episodes with {key} {data.get(key)!r} were begun here, "
                        f"now it is {value!r}; choose another folder, or delete this one to start anew{same}"
                    )
            episodes.append(_episode(self.path, number, data, self.suite))
        if is_old:
            warnings.warn(
                f"{self.path} was begun by an older version, which told drivers apart in another way: make "
                f"sure that its {self.about['policy']} is the one that drives now",
                stacklevel=3,
            )
        return episodes

    def add(self, episode: Episode) -> None:
        """Write an episode.

        Raises:
            UdacityGymError: The disk is full, for example.
        """
        evaluation = json.loads(episode.evaluation.to_json())
        del evaluation["track_data"]  # the case tells the track
        data = {
            **self.about,
            "case": asdict(episode.case),
            "films": [asdict(film) for film in episode.films],
            "evaluation": evaluation,
        }
        try:
            self._file.write(json.dumps(data, allow_nan=False).encode() + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise UdacityGymError(f"can't write {self.path}: {error.strerror}") from error

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


def read_log(path: str | Path) -> tuple[Suite, str, list[Episode]]:
    """Read a log.

    Returns:
        Which suite, who drove, and the episodes in the order of the file.

    Raises:
        UdacityGymError: There is no such file, or it holds something else, or nothing.
    """
    path = Path(path)
    about: dict[str, Any] | None = None
    suite: Suite | None = None
    episodes = []
    for number, data in _lines(path):
        told = {key: data.get(key) for key in ("suite", "policy")}
        if about not in (None, told):
            raise UdacityGymError(f"{path}, line {number} is of another policy or suite than line 1")
        about = told
        suite = suite or _suite(path, number, data)
        episodes.append(_episode(path, number, data, suite))
    if about is None or suite is None:
        raise UdacityGymError(f"{path} holds no episodes")
    return suite, str(about["policy"]), episodes


def _about(suite: Suite, policy: str, identity: str | None) -> dict[str, Any]:
    told = json.loads(json.dumps(asdict(suite)))
    return {"format": FORMAT, "version": VERSION, "suite": told, "policy": policy, "identity": identity}


def _suite(path: Path, number: int, data: Mapping[str, Any]) -> Suite:
    """The suite as a line tells it."""
    try:
        told = dict(data["suite"])
        told["scenarios"] = tuple(Scenario(**scenario) for scenario in told["scenarios"])
        told |= {name: tuple(told[name]) for name in ("seeds", "intervene")}
        return Suite(**told)
    except (KeyError, TypeError, ValueError) as error:
        raise UdacityGymError(f"{path}, line {number} tells no suite: {error!r}") from error


def _lines(path: Path) -> list[tuple[int, dict[str, Any]]]:
    """Whole lines of a log, with their numbers from 1."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UdacityGymError(f"can't read the episodes in {path}: {error.strerror}") from error
    found = []
    for number, line in enumerate(content.split(b"\n")[:-1], start=1):
        try:
            data = json.loads(line)
            if data["format"] != FORMAT or data["version"] not in (1, VERSION):
                raise ValueError(f"format must be {FORMAT!r} and version 1 or {VERSION}")
        except (ValueError, KeyError, TypeError) as error:
            raise UdacityGymError(f"{path}, line {number} is not an episode: {error}") from error
        found.append((number, data))
    return found


def _episode(path: Path, number: int, data: Mapping[str, Any], suite: Suite) -> Episode:
    try:
        told = data["case"]
        scenario = Scenario(**told["scenario"])
        track = Track.load(scenario.track).facing(scenario.direction)
        evaluation = Evaluation.of({**data["evaluation"], "track_data": track.data})
        case = Case(scenario, told["seed"], told["intervene"])
        episode = Episode(case, evaluation, tuple(Film(**film) for film in data["films"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UdacityGymError(f"{path}, line {number} is not a whole episode: {error!r}") from error
    if case not in tuple(suite):
        raise UdacityGymError(
            f"{path}, line {number}: {case} is none of the drives of {suite.name}; delete that line, "
            "or choose another folder"
        )
    return episode
