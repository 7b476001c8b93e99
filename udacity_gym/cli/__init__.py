"""The command ``udacity-gym``. Each verb has its own module.

The module of a verb has ``Options``, a dataclass that defines the command line, the defaults and the
documentation, and ``run(options) -> int``, which does the job and returns the exit code. A verb with
subcommands has ``VERBS``, which maps names to options and function, instead of ``run``. A verb whose options
depend on the command line has ``add_late_options(parser, words)``, which is called for that verb alone.
"""

from __future__ import annotations

import argparse
import inspect
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from udacity_gym import __version__
from udacity_gym.cli.options import add_options, read_options
from udacity_gym.errors import UdacityGymError

VERBS = (
    "demo",
    "record",
    "train",
    "learners",
    "drive",
    "cockpit",
    "evaluate",
    "export",
    "data",
    "track",
    "sim",
    "doctor",
)

FAILED = 2
"""Exit code of an expected error, which the message explains."""
INTERRUPTED = 130
"""Exit code after Ctrl-C or SIGTERM; the one that shells use for Ctrl-C."""

_DEBUG = "show the full traceback of an error"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: arguments; None uses those of the process.

    Returns:
        Exit code: 0 for success, 1 if the verb found a problem, 2 for an error that the message explains.
    """
    words = sys.argv[1:] if argv is None else list(argv)
    try:
        with _sigterm_as_ctrl_c(), warnings.catch_warnings():
            warnings.showwarning = _show_warning
            try:
                parsed = _parser(words).parse_args(words)
            except SystemExit as end:  # argparse has printed the reason
                return end.code if isinstance(end.code, int) else FAILED
            verb = import_module(f"udacity_gym.cli.{parsed.verb}")
            options, run = verb.VERBS[parsed.job] if hasattr(parsed, "job") else (verb.Options, verb.run)
            return int(run(read_options(options, parsed)))
    except KeyboardInterrupt as stop:  # the argument says which results are kept
        print("\nudacity-gym: stopped by you" + "".join(f"; {words}" for words in stop.args), file=sys.stderr)
        return INTERRUPTED
    except (UdacityGymError, OSError, ImportError) as error:
        if "--debug" in words:
            raise
        print(f"udacity-gym {words[0]}: {error}", file=sys.stderr)
        if isinstance(error, ImportError) and not isinstance(error, UdacityGymError):
            print(
                "A package is missing or broken. Run udacity-gym doctor to find out which.", file=sys.stderr
            )
        return FAILED


@contextmanager
def _sigterm_as_ctrl_c() -> Iterator[None]:
    """Treat SIGTERM like Ctrl-C, so that unfinished results are cleaned up as well."""
    if (
        threading.current_thread() is not threading.main_thread()
    ):  # only the main thread may set signal handlers
        yield
        return
    previous_handler = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if previous_handler is None else previous_handler)


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    """Print a warning without the source line that raised it, which is not the user's code."""
    print(f"udacity-gym: {message}", file=sys.stderr)


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="udacity-gym",
        description="Record, train and drive in Udacity's self-driving-car simulator.",
    )
    parser.add_argument("--version", action="version", version=f"udacity-gym {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB", title="verbs")
    for name in VERBS:
        module = import_module(f"udacity_gym.cli.{name}")
        verb = _add_verb(verbs, name, module.Options)
        if words[:1] == [name] and hasattr(module, "add_late_options"):
            module.add_late_options(verb, words[1:])
        jobs = getattr(module, "VERBS", None)
        if jobs is None:
            verb.add_argument("--debug", action="store_true", help=_DEBUG)
            continue
        subparsers = verb.add_subparsers(dest="job", required=True, metavar="VERB", title="verbs")
        for job, (options, _) in jobs.items():
            _add_verb(subparsers, job, options).add_argument("--debug", action="store_true", help=_DEBUG)
    return parser


def _add_verb(verbs: Any, name: str, options: type[Any]) -> argparse.ArgumentParser:
    description = inspect.cleandoc(options.__doc__ or "")
    verb: argparse.ArgumentParser = verbs.add_parser(
        name,
        help=description.splitlines()[0],
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_options(verb, options)
    return verb
