"""Recordings of drives: read any ``driving_log.csv``, write exactly Udacity's format."""

from udacity_gym.recording.episodes import Episode, Frame, Recording
from udacity_gym.recording.reader import open_recording
from udacity_gym.recording.report import Finding, Report

__all__ = ["Episode", "Finding", "Frame", "Recording", "Report", "open_recording"]
