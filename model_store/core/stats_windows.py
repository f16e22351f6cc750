"""Time slots of statistics, so that rates and percentiles can be answered for the last minutes, hour and day.

Two resolutions: slots of ten seconds, kept for an hour and a bit, and slots of five minutes, kept for 25 hours. A
window of up to an hour is answered from the fine ones, a longer one from the coarse ones; so it is off by at most one
slot at its far end.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

SlotSeconds = Literal[10, 300]

FINE: Final[SlotSeconds] = 10
COARSE: Final[SlotSeconds] = 300

KEPT_SECONDS: Final[dict[SlotSeconds, int]] = {FINE: 3_600 + 60, COARSE: 25 * 3_600}
LONGEST_WINDOW_SECONDS: Final = 24 * 3_600


class Slot(NamedTuple):
    """A span of time: from `number * seconds` to `(number + 1) * seconds` after 1970 UTC, the end excluded."""

    seconds: SlotSeconds
    number: int

    @property
    def expires_ms(self) -> int:
        """From when on nobody asks for it any more, milliseconds since 1970 UTC."""
        return ((self.number + 1) * self.seconds + KEPT_SECONDS[self.seconds]) * 1000


def slots_at(at_ms: int) -> tuple[Slot, Slot]:
    """The slots that a moment falls into, one a resolution."""
    return Slot(FINE, at_ms // (FINE * 1000)), Slot(COARSE, at_ms // (COARSE * 1000))


def slots_of_window(window_seconds: int, now_ms: int) -> list[Slot]:
    """The slots that make up the window which ends now, the open one included.

    Args:
        window_seconds: 1 to `LONGEST_WINDOW_SECONDS`.
        now_ms: Milliseconds since 1970 UTC.

    Raises:
        ValueError: The window is empty or longer than what is kept.
    """
    if not 1 <= window_seconds <= LONGEST_WINDOW_SECONDS:
        raise ValueError(f"a window has 1 to {LONGEST_WINDOW_SECONDS} seconds, not {window_seconds}")
    seconds = FINE if window_seconds <= 3_600 else COARSE
    last = now_ms // (seconds * 1000)
    first = (now_ms - window_seconds * 1000) // (seconds * 1000) + 1
    return [Slot(seconds, number) for number in range(min(first, last), last + 1)]
