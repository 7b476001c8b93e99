from . import (
    checks as checks,
    cli as cli,
    cockpit as cockpit,
    conditions as conditions,
    driving as driving,
    env as env,
    errors as errors,
    evaluation as evaluation,
    executors as executors,
    experts as experts,
    files as files,
    hub as hub,
    installation as installation,
    lerobot as lerobot,
    observer as observer,
    overlay as overlay,
    progress as progress,
    protocol as protocol,
    recording as recording,
    registry as registry,
    rewards as rewards,
    sensors as sensors,
    simulators as simulators,
    telemetry as telemetry,
    text as text,
    vector as vector,
    window as window,
    world as world,
    wrappers as wrappers,
)
from .env import UdacityEnv as UdacityEnv
from .vector import UdacityVectorEnv as UdacityVectorEnv

ENV_ID: str
__version__: str
