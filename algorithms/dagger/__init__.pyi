from . import (
    calibration as calibration,
    collect as collect,
    dagger as dagger,
    fitting as fitting,
    gates as gates,
    heads as heads,
    learner as learner,
    replay as replay,
    round_log as round_log,
    rounds as rounds,
    schedules as schedules,
    variants as variants,
)
