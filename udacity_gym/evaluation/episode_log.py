"""Log of the episodes of a suite, as lines of JSON: `Episode`, `EpisodeLog`."""

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
VERSION = 3
"""In version 1, ``identity`` was a different hash, which can't be compared with the present one. Versions 1
and 2 have no provenance."""
BEGINNING = f'{{"format": "{FORMAT}", '.encode()
"""Beginning of every line."""


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
    """One finished drive of a suite.

    Attributes:
        case: the drive, as the suite defines it.
        evaluation: its results.
        films: images of its incidents.
    """

    case: Case
    evaluation: Evaluation
    films: tuple[Film, ...] = ()


class EpisodeLog:
    """File of episodes, one line of JSON each.

    Every line is flushed to the disk, so that a crash loses one line at most. An incomplete last line is
    removed when the log is opened for writing.

    Attributes:
        path: the file.
        suite: suite of the episodes.
        about: format, suite, policy and identity, which every line contains.
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
        """Open a log for appending.

        Args:
            path: the file; made with its folder if missing.
            suite: suite of the episodes.
            policy: name of the policy.
            identity: distinguishes this policy from others of that name, see `identity_of`.
            identity_is_given: whether the identity comes from the caller, so that it can be compared with
                that of a log of any version.

        Raises:
            UdacityGymError: The file can't be written, or is not a log.
        """
        self.path = Path(path)
        self.suite = suite
        self.about = _about(suite, policy, identity)
        self._identity_is_given = identity_is_given
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # Without a buffer, which would be written again, and fail again, when a full disk is closed.
            self._file = open(self.path, "ab+", buffering=0)  # noqa: SIM115 - closed in `close`
        except OSError as error:
            raise UdacityGymError(
                f"can't write {path}: {error.strerror}; choose a writable folder"
            ) from error
        try:
            self._remove_incomplete_line()
        except BaseException:
            self._file.close()
            raise

    def _remove_incomplete_line(self) -> None:
        """Remove an incomplete last line, after checking that the file is a log."""
        self._file.seek(0)
        content = self._file.read()
        complete_size = content.rfind(b"\n") + 1
        incomplete_line = content[complete_size:]
        if not incomplete_line:
            return
        _lines(self.path)
        if not incomplete_line.startswith(BEGINNING[: len(incomplete_line)]):
            raise UdacityGymError(
                f"the end of {self.path} is not an episode: {incomplete_line[:40]!r}; use another file"
            )
        self._file.truncate(complete_size)

    def read(self) -> list[Episode]:
        """Read the episodes so far.

        Raises:
            UdacityGymError: The file has episodes of another policy or suite, or lines that are not episodes.
        """
        episodes, is_old = [], False
        for number, data in _lines(self.path):
            expected = dict(self.about)
            if data.pop("version") == 1 and not self._identity_is_given:
                del expected["identity"]
                is_old = True
            del expected["version"]
            for key, value in expected.items():
                if data.get(key) != value:
                    hint = "; if it is the same policy, pass identity=..." * (key == "identity")
                    raise UdacityGymError(
                        f"{self.path}, line {number}: the episodes here have {key} {data.get(key)!r}, "
                        f"now it is {value!r}; choose another folder, or delete this one to start again{hint}"
                    )
            episodes.append(_episode(self.path, number, data, self.suite))
        if is_old:
            warnings.warn(
                f"{self.path} was written by an older version, which identified drivers in another way: make "
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
        del evaluation["track_data"]  # the case names the track
        data = {
            **self.about,
            "case": asdict(episode.case),
            "films": [asdict(film) for film in episode.films],
            "evaluation": evaluation,
        }
        try:
            line = memoryview(json.dumps(data, allow_nan=False).encode() + b"\n")
            while line:
                line = line[self._file.write(line) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            raise UdacityGymError(f"can't write {self.path}: {error.strerror}") from error

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_log(path: str | Path) -> tuple[Suite, str, list[Episode]]:
    """Read a log.

    Returns:
        The suite, the name of the policy, and the episodes in the order of the file.

    Raises:
        UdacityGymError: The file is missing, empty or not a log.
    """
    path = Path(path)
    about: dict[str, Any] | None = None
    suite: Suite | None = None
    episodes = []
    for number, data in _lines(path):
        line_about = {key: data.get(key) for key in ("suite", "policy")}
        if about not in (None, line_about):
            raise UdacityGymError(f"{path}, line {number} is of another policy or suite than line 1")
        about = line_about
        suite = suite or _suite(path, number, data)
        episodes.append(_episode(path, number, data, suite))
    if about is None or suite is None:
        raise UdacityGymError(f"{path} has no episodes")
    return suite, str(about["policy"]), episodes


def _about(suite: Suite, policy: str, identity: str | None) -> dict[str, Any]:
    suite_data = json.loads(json.dumps(asdict(suite)))
    return {"format": FORMAT, "version": VERSION, "suite": suite_data, "policy": policy, "identity": identity}


def _suite(path: Path, number: int, data: Mapping[str, Any]) -> Suite:
    """Read the suite from a line."""
    try:
        values = dict(data["suite"])
        values["scenarios"] = tuple(Scenario(**scenario) for scenario in values["scenarios"])
        values |= {name: tuple(values[name]) for name in ("seeds", "intervene")}
        return Suite(**values)
    except (KeyError, TypeError, ValueError) as error:
        raise UdacityGymError(f"{path}, line {number} has no valid suite: {error!r}") from error


def _lines(path: Path) -> list[tuple[int, dict[str, Any]]]:
    """Complete lines of a log, with their numbers from 1."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UdacityGymError(f"can't read the episodes in {path}: {error.strerror}") from error
    lines = []
    for number, line in enumerate(content.split(b"\n")[:-1], start=1):
        try:
            data = json.loads(line)
            if data["format"] != FORMAT or data["version"] not in range(1, VERSION + 1):
                raise ValueError(f"format must be {FORMAT!r} and version 1 to {VERSION}")
        except (ValueError, KeyError, TypeError) as error:
            raise UdacityGymError(f"{path}, line {number} is not an episode: {error}") from error
        lines.append((number, data))
    return lines


def _episode(path: Path, number: int, data: Mapping[str, Any], suite: Suite) -> Episode:
    try:
        case_data = data["case"]
        scenario = Scenario(**case_data["scenario"])
        track = Track.load(scenario.track).facing(scenario.direction)
        evaluation = Evaluation.of({**data["evaluation"], "track_data": track.data})
        case = Case(scenario, case_data["seed"], case_data["intervene"])
        episode = Episode(case, evaluation, tuple(Film(**film) for film in data["films"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UdacityGymError(f"{path}, line {number} is not a complete episode: {error!r}") from error
    if case not in tuple(suite):
        raise UdacityGymError(
            f"{path}, line {number}: {case} is not a drive of {suite.name}; delete that line, "
            "or choose another folder"
        )
    return episode
