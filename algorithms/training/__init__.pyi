from . import (
    augment as augment,
    config as config,
    data as data,
    trainer as trainer,
    training_set as training_set,
)
