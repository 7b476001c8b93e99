"""Udacity's self-driving-car simulator as a Gymnasium environment.

Importing this package registers ``UdacitySim-v0`` with Gymnasium and does nothing else: what is heavy
(numba, OpenCV, pandas, socket.io) is imported when it is first needed. Every module that the documentation
mentions can be reached from here, such as ``udacity_gym.conditions``; ``__init__.pyi`` lists them.
"""

import gymnasium
import lazy_loader

__version__ = "0.1.0"

ENV_ID = "UdacitySim-v0"
"""Id of the environment in Gymnasium's registry."""

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ += ["ENV_ID", "__version__"]

if ENV_ID not in gymnasium.registry:
    gymnasium.register(
        id=ENV_ID,
        entry_point="udacity_gym.env:UdacityEnv",
        vector_entry_point="udacity_gym.vector:UdacityVectorEnv",
    )
