"""DAgger and its family: learners that collect data with their own policy, round by round."""

import lazy_loader

from udacity_gym.installation import lazy_names

__getattr__, __dir__, __all__ = lazy_names(lazy_loader.attach_stub(__name__, __file__), __name__)
