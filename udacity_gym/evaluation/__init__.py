"""Evaluate policies by driving: `evaluate` for one drive, `run_suite` and `compare` for suites.

Also confidence intervals, videos and reports.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
