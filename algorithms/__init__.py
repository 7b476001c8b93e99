"""Imitation learners for udacity_gym: they learn from recordings and are evaluated by driving.

Names are imported when first used, so that ``import algorithms`` is quick and needs no torch. The file
``__init__.pyi`` lists them.
"""

import lazy_loader

from udacity_gym.installation import lazy_names

__getattr__, __dir__, __all__ = lazy_names(lazy_loader.attach_stub(__name__, __file__), __name__)
