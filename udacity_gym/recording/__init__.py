"""Recordings of drives: read any ``driving_log.csv``, write exactly Udacity's format."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
