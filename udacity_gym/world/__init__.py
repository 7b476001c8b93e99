"""The embedded simulator's world: tracks, physics, scene and rendering. No networking, no Gymnasium."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
