"""To other libraries and back, a module each; a library is needed only by its own module."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
