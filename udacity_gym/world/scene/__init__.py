"""What there is to see: land, road furniture, light and shadows, built from the track file."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
