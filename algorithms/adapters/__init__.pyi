from . import (
    imitation as imitation,
    keras as keras,
    keras_layers as keras_layers,
    sb3_vec_env as sb3_vec_env,
    stable_baselines3 as stable_baselines3,
)
