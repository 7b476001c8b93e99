"""The command ``udacity-gym``. Each verb has its own module.

The module of a verb has ``Options``, a dataclass that defines the command line, the defaults and the
documentation, and ``run(options) -> int``, which does the job and returns the exit code. A verb with
subcommands has ``VERBS``, which maps names to options and function, instead of ``run``. A verb whose options
depend on the command line has ``add_late_options(parser, words)``, which is called for that verb alone.
"""

from __future__ import annotations

import argparse
import contextlib
import inspect
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from udacity_gym import __version__
from udacity_gym.cli.options import COMMON_OPTIONS, add_options, read_options
from udacity_gym.errors import UdacityGymError
from udacity_gym.installation import extra_of, hidden_package, missing
from udacity_gym.progress import hide_progress

VERBS = (
    "demo",
    "record",
    "train",
    "learners",
    "drive",
    "cockpit",
    "evaluate",
    "export",
    "hub",
    "data",
    "track",
    "sim",
    "doctor",
    "completion",
)

FAILED = 2
"""Exit code of an expected error, which the message explains."""
INTERRUPTED = 130
"""Exit code after Ctrl-C or SIGTERM; the one that shells use for Ctrl-C."""
PIPE_CLOSED = 141
"""Exit code if the reader of the output has gone; the one that shells use for SIGPIPE."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: arguments; None uses those of the process.

    Returns:
        Exit code: 0 for success, 1 if the verb found a problem, 2 for an error that the message explains.
    """
    words = sys.argv[1:] if argv is None else list(argv)
    try:
        code = _run(words)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as head, has read enough
        # Python flushes once more when it exits, which would fail again.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except KeyboardInterrupt as stop:  # the argument says which results are kept
        print("\nudacity-gym: stopped by you" + "".join(f"; {words}" for words in stop.args), file=sys.stderr)
        return INTERRUPTED
    except (UdacityGymError, OSError, ImportError) as error:
        if "--debug" in words:
            raise
        print(f"udacity-gym {words[0]}: {error}", file=sys.stderr)
        if isinstance(error, ImportError) and not isinstance(error, UdacityGymError):
            print(_import_advice(error), file=sys.stderr)
        return FAILED
    return code


def _run(words: Sequence[str]) -> int:
    """Run the verb that the words name."""
    with _sigterm_as_ctrl_c(), warnings.catch_warnings():
        warnings.showwarning = _show_warning
        parser = make_parser(words)
        try:
            parsed = parser.parse_args(words)
        except SystemExit as end:  # argparse has printed the reason
            return end.code if isinstance(end.code, int) else FAILED
        if parsed.verb is None:
            parser.print_help()
            return FAILED
        verb = import_module(f"udacity_gym.cli.{parsed.verb}")
        options, run = verb.VERBS[parsed.job] if hasattr(parsed, "job") else (verb.Options, verb.run)
        with hide_progress(parsed.quiet):
            return int(run(read_options(options, parsed)))


def _import_advice(error: ImportError) -> str:
    """Advice for a module that can't be imported."""
    if isinstance(error, ModuleNotFoundError) and extra_of(error.name or "") is not None:
        return str(missing(str(error.name), "this", error=error))
    advice = "A package is missing or broken. Run udacity-gym doctor to find out which."
    return hidden_package(error.name or "") or advice


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


def make_parser(words: Sequence[str] = ()) -> argparse.ArgumentParser:
    """Make the parser of the command.

    Args:
        words: the command line, for verbs whose options depend on it.
    """
    parser = argparse.ArgumentParser(
        prog="udacity-gym",
        description="Record, train and drive in Udacity's self-driving-car simulator.",
    )
    parser.add_argument("--version", action="version", version=f"udacity-gym {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", title="verbs")
    for name in VERBS:
        module = import_module(f"udacity_gym.cli.{name}")
        verb = _add_verb(verbs, name, module.Options)
        if words[:1] == [name] and hasattr(module, "add_late_options"):
            module.add_late_options(verb, words[1:])
        jobs = getattr(module, "VERBS", None)
        if jobs is None:
            _add_common_options(verb)
            continue
        subparsers = verb.add_subparsers(dest="job", required=True, metavar="VERB", title="verbs")
        for job, (options, _) in jobs.items():
            _add_common_options(_add_verb(subparsers, job, options))
    return parser


def _add_common_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that all verbs have."""
    for name, description in COMMON_OPTIONS.items():
        parser.add_argument(f"--{name}", action="store_true", help=description)


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
