"""To other libraries and back, a module each; a library is needed only by its own module."""

import lazy_loader

from udacity_gym.installation import lazy_names

__getattr__, __dir__, __all__ = lazy_names(lazy_loader.attach_stub(__name__, __file__), __name__)
