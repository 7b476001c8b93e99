from . import (
    imitation as imitation,
    keras as keras,
    keras_layers as keras_layers,
    offline as offline,
    sb3_replay_buffer as sb3_replay_buffer,
    sb3_vec_env as sb3_vec_env,
    stable_baselines3 as stable_baselines3,
)
