"""``udacity-gym cockpit``: a page in the browser to drive, record, take over, teach and look back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from udacity_gym.cli.options import DEVICE, PRECISION, About
from udacity_gym.cli.shared import check_seed
from udacity_gym.installation import missing


@dataclass(frozen=True)
class Options:
    """Drive, record, take over, teach and look back in a page of your browser.

    The page reads and writes the folder of the workspace only. By default only this machine can open it. To
    use it from elsewhere, forward the port: ssh -L 8420:localhost:8420 MACHINE.
    """

    workspace: Annotated[Path, About("folder for recordings, policies and results", positional=True)] = Path(
        "workspace"
    )
    simulator: Annotated[
        str, About("embedded; remote, for a simulator that you start; or the folder of a Unity build")
    ] = "embedded"
    track: Annotated[str, About("name of a track, or a track file")] = "lake"
    direction: Annotated[Literal["forward", "reverse"], About("driving direction")] = "forward"
    conditions: Annotated[str, About("weather and light, such as rain or dusk")] = "clear"
    host: Annotated[str, About("address to listen on; any but this machine's own needs the token")] = (
        "127.0.0.1"
    )
    port: Annotated[int, About("port to listen on; 0 takes a free one")] = 8420
    simulator_port: Annotated[int, About("port at which a remote simulator connects")] = 4567
    name: Annotated[
        tuple[str, ...], About("another host name by which the page is opened", repeated=True, shown="NAME")
    ] = ()
    token: Annotated[bool, About("require a token on this machine, too")] = False
    drop: Annotated[float, About("seconds that are thrown away before a fall")] = 2.0
    device: DEVICE = None
    precision: PRECISION = None
    seed: Annotated[int, About("seed of the environment")] = 0


def run(options: Options) -> int:
    """Serve until Ctrl-C."""
    check_seed(options.seed)
    try:
        from udacity_gym.cockpit import Cockpit, Session, Setup, Workspace
        from udacity_gym.cockpit.security import is_loopback, new_token
    except ImportError as error:
        raise missing(error.name or "starlette", "the cockpit", "cockpit", error) from error
    from udacity_gym.checks import check_number
    from udacity_gym.world.track.track import Track

    Track.load(options.track)
    setup = Setup(
        simulator=options.simulator,
        track=options.track,
        direction=options.direction,
        conditions=options.conditions,
        seed=options.seed,
        port=options.simulator_port,
    )
    cockpit = Cockpit(
        Workspace(options.workspace),
        Session(setup, drop=check_number("--drop", options.drop, 0.0, 60.0)),
        host=options.host,
        port=options.port,
        token=new_token() if options.token or not is_loopback(options.host) else None,
        names=options.name,
        device=options.device,
        precision=options.precision,
    )
    with cockpit:
        print(f"Open {cockpit.url} in a browser; Ctrl-C ends.\nThe workspace is {cockpit.workspace.root}.")
        cockpit.wait()
    return 0
