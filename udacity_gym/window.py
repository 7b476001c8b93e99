"""A window on the screen, for ``render_mode="human"``."""

from __future__ import annotations

import importlib.util
import math
import os
import sys
import time
import warnings

import numpy as np

from udacity_gym.errors import DisplayError, UdacityGymError
from udacity_gym.installation import missing
from udacity_gym.telemetry import Image

INPUT_EVENTS = (
    "KEYDOWN",
    "KEYUP",
    "WINDOWFOCUSLOST",
    "JOYAXISMOTION",
    "JOYBUTTONDOWN",
    "JOYBUTTONUP",
    "JOYDEVICEADDED",
    "JOYDEVICEREMOVED",
)
"""Names of pygame's events of keyboards and gamepads."""


def why_no_window() -> UdacityGymError | None:
    """Reason why no window can be opened, as an error; None if one can."""
    if importlib.util.find_spec("pygame") is None:
        return missing("pygame", 'render_mode="human", unlike "rgb_array",')
    if sys.platform.startswith(("linux", "freebsd")) and not any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER")
    ):
        return DisplayError(
            'render_mode="human" opens a window, but this machine has no display (neither DISPLAY nor '
            'WAYLAND_DISPLAY is set): use render_mode="rgb_array" and save what render() returns, '
            "let udacity_gym.evaluation.DriveVideo write a video, or log in with a display (ssh -X)"
        )
    return None


class Window:
    """A window that shows one image after the other. Closing it stops the program as Ctrl-C does.

    Events of keyboards and gamepads stay in pygame's queue, for `udacity_gym.experts.Human`.
    """

    def __init__(self, title: str, width: int, height: int) -> None:
        """Open the window.

        Args:
            title: text of the title bar.
            width: width, pixels.
            height: height, pixels.

        Raises:
            MissingDependencyError: pygame is not installed.
            DisplayError: There is no display, or the window can't be opened.
        """
        problem = why_no_window()
        if problem is not None:
            raise problem
        os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
        with warnings.catch_warnings():  # hides the warning about pygame's own import of pkg_resources
            warnings.simplefilter("ignore")
            import pygame
        self._pygame = pygame
        try:
            pygame.display.init()
            self._surface = pygame.display.set_mode((width, height))
        except pygame.error as error:
            raise DisplayError(
                f'the window can\'t be opened: {error}; use render_mode="rgb_array" instead'
            ) from error
        pygame.display.set_caption(title)
        self._clock = pygame.time.Clock()
        self._shown = -math.inf  # s, when the last image was shown

    @property
    def age(self) -> float:
        """Time since the last image was shown, s."""
        return time.monotonic() - self._shown

    def show(self, image: Image, fps: float) -> None:
        """Show an image; wait until the previous one was visible for 1/fps seconds.

        Args:
            image: (height, width, 3) uint8 RGB of the window's size.
            fps: maximum number of images per second.

        Raises:
            KeyboardInterrupt: The window was closed.
        """
        pygame = self._pygame
        pygame.surfarray.blit_array(self._surface, np.swapaxes(image, 0, 1))
        pygame.display.flip()
        self._clock.tick(fps)
        self._shown = time.monotonic()
        for event in pygame.event.get(exclude=[getattr(pygame, name) for name in INPUT_EVENTS]):
            if event.type == pygame.QUIT:
                self.close()
                raise KeyboardInterrupt("the window was closed")

    def close(self) -> None:
        """Close the window. Can be called twice."""
        self._pygame.display.quit()
