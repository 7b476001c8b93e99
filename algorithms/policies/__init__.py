"""Policies: networks, losses, preprocessing, ensembles, checkpoints, export. All that driving needs."""

import lazy_loader

from udacity_gym.installation import lazy_names

__getattr__, __dir__, __all__ = lazy_names(lazy_loader.attach_stub(__name__, __file__), __name__)
