"""How much of what was read is handed out at once, where batches are scored elsewhere than on the event loop."""

from __future__ import annotations

from typing import Final

import numpy as np

from serving.core.byte_column import ByteColumn
from serving.feed.runs import Run

MOST_BYTES: Final = 1 << 20
"""Of a batch, by its values. Decoding happens on the event loop, where records of other streams wait for it: a window of 323 kB
takes 0.2 to 0.8 ms there. 8,000 records of 100 bytes are one batch still."""


def portion(run: Run, most_bytes: int = MOST_BYTES) -> tuple[Run, Run | None]:
    """The first records of a run, at least one, of so many bytes at most; and the others."""
    if len(run) == 1:
        return run, None
    values = run.values()
    if isinstance(values, ByteColumn):
        sizes = values.lengths
    else:
        sizes = np.fromiter((len(value or b"") for value in values), np.int64, len(values))
    fit = max(1, int(np.searchsorted(np.cumsum(sizes), most_bytes, side="right")))
    if fit >= len(run):
        return run, None
    first, rest = run.split(run.offsets()[fit])
    assert first is not None
    return first, rest
