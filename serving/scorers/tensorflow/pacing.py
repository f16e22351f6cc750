"""How many records a run takes, and on which thread, from what a run costs.

A model that takes longer for one record than a batch may take on the event loop scores record by record where a batch is
no cheaper, so that a run stays short and its data near.

It is decided once, in the child process in which every model is tried out (`rehearsal`). That does nothing else meanwhile, so the
time of its processor tells what a run costs however busy the machine is. By the clock on the wall, in a worker with a backlog, a
model was taken for another kind now and then: dearer for good, and on some processors with other last bits (`blocks`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Final

from msgspec import Meta

from serving.scorers.tensorflow.blocks import rows_of_block

MEASURED_ROWS: Final = 256
_HEAVY_SECONDS: Final = 0.004
"""What `MEASURED_ROWS` may take on the event loop's thread: a fetched batch is about that large."""
_LONGEST_RUN_SECONDS: Final = 0.25
"""What one run may take where records come one by one to more; a batch is as many runs as it needs."""
_CLEARLY_CHEAPER: Final = 0.8


@dataclass(frozen=True, slots=True)
class Pace:
    """How a model is run.

    Attributes:
        rows: Most records of a run: 1, or a multiple of whole blocks (`blocks`).
        is_heavy: A batch takes too long for the event loop's thread.
    """

    rows: Annotated[int, Meta(ge=1)]
    is_heavy: bool


def pace_of(seconds: Callable[[int], float], few: int) -> Pace:
    """The pace of a model that takes `seconds` of a processor for so many records; `few` is a batch that it can be asked for in
    any case.
    """
    rows = _rows_of_run(seconds(1), seconds(few) / few, few)
    return Pace(rows, rows < MEASURED_ROWS or seconds(MEASURED_ROWS) > _HEAVY_SECONDS)


def _rows_of_run(alone: float, together: float, few: int) -> int:
    """One record of a heavy model, unless several together are clearly cheaper. Otherwise a multiple of whole blocks, of which
    one must be light: a single record takes as long.
    """
    if alone > _HEAVY_SECONDS and together > _CLEARLY_CHEAPER * alone:
        return 1
    block = rows_of_block()
    if block > 1 and block * together > _HEAVY_SECONDS:
        return 1
    most = max(few, int(_LONGEST_RUN_SECONDS / max(together, 1e-9)))
    return max(block, most // block * block)
