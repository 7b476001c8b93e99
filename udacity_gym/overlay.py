"""Instruments drawn over an image: speed, pedals, steering, position on the road, lap."""

from __future__ import annotations

import cv2
import numpy as np

from udacity_gym.telemetry import MPH, Image, Telemetry

Colour = tuple[int, int, int]

INK: Colour = (245, 245, 240)
DIM: Colour = (168, 174, 178)
GROOVE: Colour = (84, 90, 96)
GO: Colour = (96, 200, 120)
STOP: Colour = (226, 88, 76)
ACCENT: Colour = (92, 172, 240)
"""Colours, RGB."""

PANEL = 0.18
"""Height of the panel as a share of the image height."""
SHADE = 0.38
"""Brightness of the image under the panel, as a share."""
CTE_RANGE = 4.0
"""Cross-track error at the ends of its scale, m."""


def draw_telemetry(
    image: Image, telemetry: Telemetry, track_length: float | None = None, caption: str = ""
) -> Image:
    """Draw the instruments over the lower edge of an image.

    Args:
        image: (height, width, 3) uint8 RGB; readable from 320x180 on.
        telemetry: values to show; missing ones are left out.
        track_length: length of the track, m, to show the share of the lap; None leaves it out.
        caption: text in the upper left corner, such as the driver.

    Returns:
        (height, width, 3) uint8 RGB, a new array.
    """
    canvas: Image = np.array(image, order="C")
    height, width = canvas.shape[:2]
    top = height - round(PANEL * height)
    canvas[top:] = (canvas[top:] * SHADE).astype(np.uint8)
    pen = _Pen(canvas, top, round(PANEL * height))
    third = width // 3
    margin = pen.unit // 2
    _speed_and_pedals(pen, margin, third - margin, telemetry)
    _steering(pen, third + margin, 2 * third - margin, telemetry)
    _lap(pen, 2 * third + margin, width - margin, telemetry, track_length)
    if caption:
        _caption(canvas, caption, round(PANEL * height))
    return canvas


class _Pen:
    """Draw text and bars in units of the panel height."""

    def __init__(self, canvas: Image, top: int, unit: int) -> None:
        self.canvas, self.top, self.unit = canvas, top, unit
        self.thin = max(1, round(unit / 40))

    def y(self, share: float) -> int:
        """Row at a share of the panel height from its top."""
        return self.top + round(share * self.unit)

    def text(
        self,
        text: str,
        x: int,
        baseline: float,
        size: float,
        room: int,
        colour: Colour = INK,
        align: float = 0.0,
    ) -> int:
        """Write one line, scaled down if it does not fit (fonts differ between versions of OpenCV).

        Args:
            text: text to write.
            x: column of its left end (``align`` 0) or right end (1).
            baseline: share of the panel's height.
            size: height of a digit as a share of the panel's height.
            room: available width, pixels.
            colour: RGB.
            align: see ``x``.

        Returns:
            Column of the right end.
        """
        font, thickness = cv2.FONT_HERSHEY_SIMPLEX, max(1, round(size * self.unit / 11))
        digit = cv2.getTextSize("0", font, 1.0, thickness)[0][1]
        unscaled = cv2.getTextSize(text, font, 1.0, thickness)[0][0]
        scale = min(size * self.unit / digit, room / max(1, unscaled))
        wide = round(scale * unscaled)
        left = round(x - align * wide)
        cv2.putText(self.canvas, text, (left, self.y(baseline)), font, scale, colour, thickness, cv2.LINE_AA)
        return left + wide

    def pair(self, label: str, value: str, left: int, right: int, baseline: float) -> None:
        """Write a label at the left and its value at the right."""
        share = round(0.55 * (right - left))
        self.text(label, left, baseline, 0.17, share, DIM)
        self.text(value, right, baseline, 0.17, round(0.8 * share), INK, align=1.0)

    def bar(self, x0: int, x1: int, middle: float, thickness: float, colour: Colour) -> None:
        """Fill a horizontal bar with round ends."""
        if x1 < x0:
            x0, x1 = x1, x0
        radius = max(1, round(0.5 * thickness * self.unit))
        row = self.y(middle)
        cv2.line(self.canvas, (x0, row), (x1, row), colour, 2 * radius, cv2.LINE_AA)

    def tick(self, x: int, middle: float, length: float, colour: Colour) -> None:
        """Draw a vertical line."""
        cv2.line(
            self.canvas,
            (x, self.y(middle - 0.5 * length)),
            (x, self.y(middle + 0.5 * length)),
            colour,
            max(1, 2 * self.thin),
            cv2.LINE_AA,
        )

    def knob(self, x: int, middle: float, radius: float, colour: Colour) -> None:
        """Draw a filled circle."""
        cv2.circle(self.canvas, (x, self.y(middle)), round(radius * self.unit), colour, -1, cv2.LINE_AA)


def _speed_and_pedals(pen: _Pen, left: int, right: int, telemetry: Telemetry) -> None:
    half = (right - left) // 2
    end = pen.text(f"{abs(telemetry.speed) / MPH:.0f}", left, 0.58, 0.34, half // 2)
    pen.text("mph", end + pen.unit // 10, 0.58, 0.17, half // 2, DIM)
    pen.text(f"{telemetry.speed:.1f} m/s", right, 0.58, 0.17, round(0.8 * half), DIM, align=1.0)
    pen.bar(left, right, 0.82, 0.10, GROOVE)
    pedal, colour = (telemetry.brake, STOP) if telemetry.brake > 0 else (telemetry.throttle, GO)
    if pedal > 0.01:
        pen.bar(left, left + round(pedal * (right - left)), 0.82, 0.10, colour)


def _steering(pen: _Pen, left: int, right: int, telemetry: Telemetry) -> None:
    middle, half = (left + right) // 2, (right - left) / 2
    pen.pair("steering", f"{round(telemetry.steering, 2) + 0.0:+.2f}", left, right, 0.27)
    pen.bar(left, right, 0.42, 0.06, GROOVE)
    pen.bar(middle, middle + round(telemetry.steering * half), 0.42, 0.06, ACCENT)
    pen.knob(middle + round(telemetry.steering * half), 0.42, 0.065, INK)
    if telemetry.track is None:
        return
    cte = telemetry.track.cte
    pen.pair("off centre", f"{round(cte, 2) + 0.0:+.2f} m", left, right, 0.72)
    pen.bar(left, right, 0.87, 0.03, GROOVE)
    for x in (left, middle, right):
        pen.tick(x, 0.87, 0.12, DIM)
    share = min(1.0, max(-1.0, cte / CTE_RANGE))
    pen.knob(middle + round(share * half), 0.87, 0.065, STOP if telemetry.track.off_lane else GO)


def _lap(pen: _Pen, left: int, right: int, telemetry: Telemetry, track_length: float | None) -> None:
    minutes, seconds = divmod(telemetry.time, 60.0)
    half = (right - left) // 2
    pen.text(f"{int(minutes)}:{seconds:04.1f}", right, 0.36, 0.2, half, INK, align=1.0)
    if telemetry.track is None:
        return
    track = telemetry.track
    pen.text(f"lap {track.lap + 1}", left, 0.36, 0.2, half)
    share = 0.0
    if track_length is not None:
        share = min(1.0, max(0.0, track.progress / track_length - track.lap))
    done = "" if track_length is None else f"{100 * share:.0f} %"
    pen.pair(f"{track.progress:.0f} m driven", done, left, right, 0.66)
    pen.bar(left, right, 0.82, 0.10, GROOVE)
    if share > 0.01:
        pen.bar(left, left + round(share * (right - left)), 0.82, 0.10, ACCENT)


def _caption(canvas: Image, caption: str, unit: int) -> None:
    corner = canvas[: unit // 2, : canvas.shape[1] // 3]
    corner[:] = (corner * SHADE).astype(np.uint8)
    _Pen(canvas, 0, unit).text(caption, unit // 4, 0.34, 0.2, corner.shape[1] - unit // 2)
