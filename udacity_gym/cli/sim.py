"""``udacity-gym sim``: our simulator on the wire, for anybody's ``drive.py``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from udacity_gym.cli.options import About
from udacity_gym.cli.shared import positive


@dataclass(frozen=True)
class Options:
    """Be Udacity's simulator for a program that drives it: connect to its port, without a window.

    In lock-step, the default, every command lasts --ctrl-dt seconds of simulated time and the car waits for
    the next one. It ends when there has been no server for --patience seconds.
    """

    track: Annotated[str, About("name of a track, or a track file")] = "lake"
    real_time: Annotated[bool, About("run in real time at 60 frames/s, as Udacity's does")] = False
    dialect: Annotated[
        Literal["term1", "term2", "research"],
        About("whose messages: term 1, term 2's PID build, udacity-gym's"),
    ] = "term1"
    host: Annotated[str, About("where the driver listens")] = "127.0.0.1"
    port: Annotated[int, About("port the driver listens on")] = 4567
    culture: Annotated[str, About("how numbers are written, such as de_DE")] = "en_US"
    mode: Annotated[Literal["autonomous", "training"], About("start pose and ride")] = "autonomous"
    ctrl_dt: Annotated[float, About("s of simulated time per command, in lock-step")] = 1 / 15
    seed: Annotated[int, About("seed of the simulator")] = 0
    patience: Annotated[float, About("s to wait for a driver, at first and after one has gone")] = 30.0
    announce: Annotated[bool, About("tell udacity-gym's own server who we are, for exact lock-step")] = True


def run(options: Options) -> int:
    """Simulate."""
    positive(ctrl_dt=options.ctrl_dt, patience=options.patience)
    from udacity_gym.protocol.client import SimulatorClient
    from udacity_gym.simulators.embedded import EmbeddedSimulator
    from udacity_gym.world.track import Track

    track = Track.load(options.track)
    client = SimulatorClient(
        lambda ctrl_dt: EmbeddedSimulator(track, ctrl_dt=ctrl_dt, mode=options.mode),
        track=track.name,
        host=options.host,
        port=options.port,
        ctrl_dt=options.ctrl_dt,
        dialect=options.dialect,
        culture=options.culture,
        real_time=options.real_time,
        announce=options.announce,
        seed=options.seed,
        patience=options.patience,
        on_news=lambda news: print(news, flush=True),
    )
    ending = client.run()
    seconds = client.steps * (options.ctrl_dt if not options.real_time else 1 / 60)
    print(f"{ending}: drove {client.steps} steps ({seconds:.0f} s of simulated time)")
    if ending == "no server":
        print(
            f"Nobody listens on {options.host}:{options.port}: start your drive.py, or an environment with "
            'gym.make("UdacitySim-v0", simulator="remote").'
        )
        return 1
    return 0
