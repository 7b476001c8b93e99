"""Recordings of drives: read any ``driving_log.csv``, write exactly Udacity's format."""

from udacity_gym.recording.episodes import Episode, Frame, Recording
from udacity_gym.recording.frames import ImageCache
from udacity_gym.recording.images import Downscale
from udacity_gym.recording.loader import FrameBatch, TrainingLoader
from udacity_gym.recording.pack import PackedFrames, pack
from udacity_gym.recording.reader import open_recording
from udacity_gym.recording.recorder import Recorder, record
from udacity_gym.recording.report import Finding, Report
from udacity_gym.recording.summary import Summary, summarize
from udacity_gym.recording.writer import RecordingWriter

__all__ = [
    "Downscale",
    "Episode",
    "Finding",
    "Frame",
    "FrameBatch",
    "ImageCache",
    "PackedFrames",
    "Recorder",
    "Recording",
    "RecordingWriter",
    "Report",
    "Summary",
    "TrainingLoader",
    "open_recording",
    "pack",
    "record",
    "summarize",
]
