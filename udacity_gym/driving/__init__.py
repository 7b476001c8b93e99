"""Somebody drives: whoever it is, by one interface (`Driver`) and in one loop (`drive`)."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
