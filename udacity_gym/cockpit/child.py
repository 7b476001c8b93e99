"""Runs a module as a job of the cockpit: ``python -m udacity_gym.cockpit.child MODULE WORDS``.

Progress bars are drawn on a terminal only. The cockpit reads them from the log of the job, so here standard
error says that it is one.
"""

import runpy
import sys


def main() -> None:
    """Run the module that the command line names."""
    sys.stderr.isatty = lambda: True  # type: ignore[method-assign]
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
