"""Recordings of drives: read any ``driving_log.csv``, write exactly Udacity's format."""

from udacity_gym.recording.episodes import Episode, Frame, Recording
from udacity_gym.recording.reader import open_recording
from udacity_gym.recording.recorder import record
from udacity_gym.recording.report import Finding, Report
from udacity_gym.recording.writer import RecordingWriter

__all__ = [
    "Episode",
    "Finding",
    "Frame",
    "Recording",
    "RecordingWriter",
    "Report",
    "open_recording",
    "record",
]
