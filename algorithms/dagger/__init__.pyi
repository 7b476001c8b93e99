from . import (
    collect as collect,
    dagger as dagger,
    gates as gates,
    heads as heads,
    learner as learner,
    replay as replay,
    round_log as round_log,
    rounds as rounds,
    schedules as schedules,
    variants as variants,
)
