"""DAgger and its family: learners that collect data with their own policy, round by round."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
