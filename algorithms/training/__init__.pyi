from . import (
    arrays as arrays,
    augment as augment,
    config as config,
    data as data,
    throttle as throttle,
    trainer as trainer,
    training_set as training_set,
)
