"""Results of an evaluation: `Evaluation`, `Incident`, `Trajectory`."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from udacity_gym.errors import UdacityGymError
from udacity_gym.evaluation.metrics import autonomy
from udacity_gym.evaluation.provenance import Provenance
from udacity_gym.files import write_whole
from udacity_gym.telemetry import MPH
from udacity_gym.text import count, table

Criterion: TypeAlias = Literal["edge", "reference", "road"]
"""When the car is put back: a wheel is over the edge line, the car is more than 1 m from the reference line,
or it falls off the road."""

Kind: TypeAlias = Literal["edge", "reference", "road", "stuck", "terminated"]

WORDS: dict[Kind, str] = {
    "road": "off the road",
    "edge": "a wheel over the edge line",
    "reference": "more than 1 m off the reference line",
    "stuck": "no way forward",
    "terminated": "the episode ended",
}
"""Descriptions of the kinds of incidents."""

FORMAT = "udacity-gym-evaluation"
VERSION = 2
"""Version 1 has no provenance."""


@dataclass(frozen=True, slots=True)
class Incident:
    """A departure from the lane, or another failure.

    Attributes:
        time: time since the start of the evaluation, s.
        distance: distance driven since the start of the evaluation, m.
        s: position along the track, m.
        kind: "edge" (a wheel over the edge line), "reference" (more than 1 m from the reference line), "road"
            (the car's centre left the road, only where it is put back for that), "stuck" (no progress for
            some seconds) or "terminated" (the environment ended the episode, for example off the road).
        intervention: whether the car was put back because of it.
        x, y, z: position of the car, m.
        yaw: heading, rad counter-clockwise from +x.
        cte: distance from the reference line, m, positive to its right.
        speed: speed, m/s.
    """

    time: float
    distance: float
    s: float
    kind: Kind
    intervention: bool
    x: float
    y: float
    z: float
    yaw: float
    cte: float
    speed: float


@dataclass(frozen=True, slots=True, eq=False)
class Trajectory:
    """The whole drive, a row per control step and one for each start; float64 columns of equal length.

    Attributes:
        time: time since the start of the evaluation, s.
        distance: distance driven along the track since the start of the evaluation, m.
        s: position along the track, m.
        x, y: position east and north, m; NaN if the simulator does not report it.
        cte: distance from the reference line, m, positive to its right.
        speed: speed, m/s.
        steering: steering in effect, [-1, 1], positive turns right.
        throttle: throttle in effect, [-1, 1], negative brakes.
        stretch: number of times that the car had been put back before this row. Where it changes, the car
            jumps.
        off_lane: 1 if a wheel is over the edge line or off the road, else 0; NaN in older files.
    """

    time: NDArray[np.float64]
    distance: NDArray[np.float64]
    s: NDArray[np.float64]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    cte: NDArray[np.float64]
    speed: NDArray[np.float64]
    steering: NDArray[np.float64]
    throttle: NDArray[np.float64]
    stretch: NDArray[np.float64]
    off_lane: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.time)


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation:
    """Results of `evaluate`. Prints as a table.

    Attributes:
        policy: name of the policy or expert.
        track: name of the track.
        track_data: content of the track's file, as in `udacity_gym.world.track.track.Track.data`.
        track_length: length of a lap, m.
        laps_wanted: requested number of laps.
        intervene: criterion for putting the car back.
        seed: seed of the environment.
        seconds: time driven, s.
        distance: distance driven along the track, m.
        ended: reason why the evaluation ended.
        incidents: all incidents, in order of time.
        trajectory: the whole drive.
        provenance: versions, commit, command and hash of the policy; None in files of version 1.
    """

    policy: str
    track: str
    track_data: Mapping[str, Any]
    track_length: float
    laps_wanted: int
    intervene: Criterion
    seed: int | None
    seconds: float
    distance: float
    ended: str
    incidents: tuple[Incident, ...]
    trajectory: Trajectory
    provenance: Provenance | None = None

    @property
    def laps(self) -> int:
        """Number of completed laps."""
        return max(0, int(self.distance / self.track_length + 1e-9))

    @property
    def complete(self) -> bool:
        """Whether all requested laps were driven. If not, ``ended`` says why."""
        return self.laps >= self.laps_wanted

    @property
    def interventions(self) -> int:
        """Number of times that the car was put back."""
        return sum(incident.intervention for incident in self.incidents)

    @property
    def autonomy(self) -> float:
        """Share of the time driven without intervention, [0, 1] (Bojarski et al. 2016, section 7)."""
        return autonomy(self.interventions, self.seconds)

    @property
    def edge_departures(self) -> int:
        """Number of times that a wheel went over the edge line."""
        return self._count("edge")

    @property
    def edge_autonomy(self) -> float:
        """Autonomy, [0, 1], if every departure over the edge line were an intervention."""
        return autonomy(self.edge_departures + self._failures, self.seconds)

    @property
    def reference_departures(self) -> int:
        """Number of times that the car left the reference line by more than 1 m."""
        return self._count("reference")

    @property
    def reference_autonomy(self) -> float:
        """Autonomy, [0, 1], if every departure of more than 1 m were an intervention."""
        return autonomy(self.reference_departures + self._failures, self.seconds)

    @property
    def stuck(self) -> int:
        """Number of times that the car got stuck."""
        return self._count("stuck")

    @property
    def falls(self) -> int:
        """Number of times that the car left the road or got stuck; needs ``intervene="road"``."""
        return self._count("road") + self._failures

    @property
    def laps_without_intervention(self) -> int:
        """Number of completed laps without intervention."""
        laps_with_interventions = {int(d // self.track_length) for d in self._intervention_distances}
        return sum(lap not in laps_with_interventions for lap in range(self.laps))

    @property
    def longest_distance_without_intervention(self) -> float:
        """Longest distance between two interventions, m."""
        marks = [0.0, *self._intervention_distances, self.distance]
        return max(b - a for a, b in pairwise(marks))

    @property
    def distance_to_first_intervention(self) -> float | None:
        """Distance from the start to the first intervention, m; None without interventions."""
        return next(iter(self._intervention_distances), None)

    @property
    def lap_times(self) -> tuple[float, ...]:
        """Duration of each completed lap, s."""
        furthest = np.maximum.accumulate(self.trajectory.distance)
        ends = np.interp(np.arange(self.laps + 1) * self.track_length, furthest, self.trajectory.time)
        return tuple(float(t) for t in np.diff(ends))

    @property
    def mean_abs_cte(self) -> float:
        """Mean absolute cross-track error, m."""
        return float(np.mean(np.abs(self.trajectory.cte)))

    @property
    def max_abs_cte(self) -> float:
        """Maximum absolute cross-track error, m."""
        return float(np.max(np.abs(self.trajectory.cte)))

    @property
    def mean_speed(self) -> float:
        """Mean speed along the track, m/s."""
        return self.distance / self.seconds if self.seconds else 0.0

    @property
    def _failures(self) -> int:
        """Number of interventions for other reasons: stuck, or terminated by the environment."""
        return sum(i.intervention for i in self.incidents if i.kind in ("stuck", "terminated"))

    @property
    def _intervention_distances(self) -> list[float]:
        return [incident.distance for incident in self.incidents if incident.intervention]

    def _count(self, kind: Kind) -> int:
        return sum(incident.kind == kind for incident in self.incidents)

    def renamed(self, policy: str) -> Evaluation:
        """Copy with another name of the policy."""
        return replace(self, policy=policy)

    def summary(self) -> dict[str, Any]:
        """Results by name, in SI units, without incidents and trajectory."""
        return {
            "policy": self.policy,
            "track": self.track,
            "seed": self.seed,
            "laps_wanted": self.laps_wanted,
            "laps": self.laps,
            "complete": self.complete,
            "laps_without_intervention": self.laps_without_intervention,
            "lap_times": [round(t, 3) for t in self.lap_times],
            "intervene": self.intervene,
            "interventions": self.interventions,
            "autonomy": self.autonomy,
            "edge_departures": self.edge_departures,
            "edge_autonomy": self.edge_autonomy,
            "reference_departures": self.reference_departures,
            "reference_autonomy": self.reference_autonomy,
            "stuck": self.stuck,
            "longest_distance_without_intervention": self.longest_distance_without_intervention,
            "distance_to_first_intervention": self.distance_to_first_intervention,
            "mean_abs_cte": self.mean_abs_cte,
            "max_abs_cte": self.max_abs_cte,
            "mean_speed": self.mean_speed,
            "distance": self.distance,
            "seconds": self.seconds,
            "ended": self.ended,
        }

    def to_json(self, trajectory: bool = True) -> str:
        """Convert to JSON. With the trajectory, `load` can read it back.

        Args:
            trajectory: include the track and the trajectory.
        """
        data: dict[str, Any] = {"format": FORMAT, "version": VERSION, "track_length": self.track_length}
        data |= self.summary()
        data["provenance"] = None if self.provenance is None else self.provenance.to_data()
        data["incidents"] = [
            {key: None if value != value else value for key, value in asdict(incident).items()}
            for incident in self.incidents
        ]
        if trajectory:
            data["track_data"] = self.track_data
            data["trajectory"] = {
                column.name: [
                    None if value != value else value
                    for value in getattr(self.trajectory, column.name).tolist()
                ]
                for column in fields(Trajectory)
            }
        return json.dumps(data, allow_nan=False)

    def save(self, path: str | Path) -> Path:
        """Write the evaluation with its trajectory to a JSON file, atomically.

        Returns:
            The path of the file.

        Raises:
            UdacityGymError: The file can't be written.
        """
        return write_whole(path, self.to_json() + "\n")

    @staticmethod
    def load(path: str | Path) -> Evaluation:
        """Read an evaluation that `save` wrote.

        Raises:
            UdacityGymError: The file is missing, or is not an evaluation with its trajectory.
        """
        path = Path(path)
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            if data.get("format") != FORMAT or data.get("version") not in (1, VERSION):
                raise ValueError(f"'format' must be {FORMAT!r} and 'version' 1 or {VERSION}")
            return Evaluation.of(data)
        except OSError as error:
            raise UdacityGymError(f"can't read the evaluation {path}: {error.strerror}") from error
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UdacityGymError(f"{path} is not a saved evaluation with its trajectory: {error}") from error

    @staticmethod
    def of(data: Mapping[str, Any]) -> Evaluation:
        """Make an evaluation from the data of `to_json`, with its trajectory.

        Raises:
            KeyError, TypeError, ValueError: A value is missing or has a wrong type.
        """
        return _from_json(data)

    def __repr__(self) -> str:
        return (
            f"<Evaluation: {self.policy} on {self.track}, {self.laps} of {count(self.laps_wanted, 'lap')}, "
            f"autonomy {self.autonomy:.1%}, interventions {self.interventions}>"
        )

    def __str__(self) -> str:
        first = self.distance_to_first_intervention
        laps = f"{self.laps} of {self.laps_wanted}"
        rows = [
            (
                "laps",
                f"{laps}, {self.laps_without_intervention} without intervention"
                if self.complete
                else f"{laps}, not all: {self.ended}",
            ),
            (
                "autonomy",
                f"{self.autonomy:.1%}" + ("" if self.complete else f" of {self.seconds:.0f} s only"),
            ),
            (
                "interventions",
                f"{self.interventions}" + (f", the first after {first:.0f} m" if first is not None else ""),
            ),
            ("longest without intervention", f"{self.longest_distance_without_intervention:.0f} m"),
            ("wheel over the edge line", f"{self.edge_departures} times (autonomy {self.edge_autonomy:.1%})"),
            (
                "more than 1 m off the line",
                f"{self.reference_departures} times (autonomy {self.reference_autonomy:.1%})",
            ),
            ("stuck", f"{self.stuck} times"),
            ("cross-track error", f"mean {self.mean_abs_cte:.2f} m, max {self.max_abs_cte:.2f} m"),
            ("speed", f"{self.mean_speed:.1f} m/s ({self.mean_speed / MPH:.0f} mph)"),
            ("driven", f"{self.distance:.0f} m in {self.seconds:.0f} s"),
            ("ended", self.ended),
        ]
        return f"{self.policy} on track {self.track}\n{table(rows, indent='  ')}"


def _from_json(data: Mapping[str, Any]) -> Evaluation:
    rows = data["trajectory"]
    defaults = {"off_lane": [None] * len(rows["time"])}  # not in files of earlier versions
    columns = {
        column.name: np.array(
            [np.nan if v is None else v for v in (defaults | rows)[column.name]], dtype=np.float64
        )
        for column in fields(Trajectory)
    }
    names = (
        "policy", "track", "track_data", "track_length", "laps_wanted", "intervene", "seed", "seconds",
        "distance", "ended",
    )  # fmt: skip
    return Evaluation(
        **{name: data[name] for name in names},
        incidents=tuple(_incident(incident) for incident in data["incidents"]),
        trajectory=Trajectory(**columns),
        provenance=Provenance.of(data.get("provenance")),
    )


def _incident(data: Mapping[str, Any]) -> Incident:
    values: dict[str, Any] = {key: math.nan if value is None else value for key, value in data.items()}
    return Incident(**values)
