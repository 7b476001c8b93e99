"""Errors that teach: each says what happened, where, and what to do next."""


class UdacityGymError(Exception):
    """Base class of every error this library raises on purpose."""


class TrackError(UdacityGymError, ValueError):
    """A track is unknown, or its file breaks the documented format."""


class ActionError(UdacityGymError, ValueError):
    """An action has the wrong shape, is not finite, or means something else than the environment expects."""


class OptionError(UdacityGymError, ValueError):
    """An argument or a reset option is unknown or out of range."""


class SimulatorError(UdacityGymError, RuntimeError):
    """A simulator can't be started, reached, or asked for what was asked."""


class SimulatorTimeoutError(SimulatorError):
    """A simulator did not connect, or stopped to answer."""


class SimulatorGoneError(SimulatorError):
    """A simulator disconnected in the middle of a conversation."""


class ResetNotSupportedError(SimulatorError):
    """A simulator can't be put back to a start, and nobody chose what to do instead."""


class DisplayError(UdacityGymError, RuntimeError):
    """A window was asked for where there is no display."""


class RecordingError(UdacityGymError, ValueError):
    """A recording can't be read or written."""


class CheckpointError(UdacityGymError, ValueError):
    """A checkpoint is missing, incomplete, or belongs to another network."""


class MissingDependencyError(UdacityGymError, ImportError):
    """An optional package is not installed; the message names the pip command."""
