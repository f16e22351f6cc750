"""How long to let records gather before the next read: while the broker is busy with the results of the last one.

Nagle's algorithm (RFC 896), for a stream. librdkafka writes the records of one partition a request, has at most five requests
under way, as idempotence demands, and was seen to spin where more were due; the broker takes the requests of a connection one
by one. So a worker that reads while the results of the last read are under way makes more requests than the broker can take,
of fewer records each, and every record waits behind all of them. Decision 17 has what was measured.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final, Protocol

_LONGEST_SECONDS: Final = 0.008
"""A broker that takes longer to acknowledge is not waited for: a record is to be through in that time (decision 17)."""
_LOOK_SECONDS: Final = 0.002
"""How often to look. To be woken by each acknowledgement, or to look each millisecond, costs a tenth more (decision 17)."""
_SEVERAL_RECORDS: Final = 2
"""Two that come together show that requests come sooner than they are answered (decision 17, 1,000 records a second)."""
_MANY_RECORDS: Final = 500
"""From so many on, what a batch and its requests cost is the records' and no longer theirs (docs/size.md)."""


class Acknowledgements(Protocol):
    """What is asked of the writer."""

    def __len__(self) -> int:
        """Records without one."""

    def poll(self) -> None:
        """Count those that have come."""


async def rest(records: int, acknowledgements: Acknowledgements) -> None:
    """Rest after a read of so many records, until all results are acknowledged, at most 8 ms. On the event loop's thread.

    Raises:
        OutputRefusedError: A result failed.
    """
    if not _SEVERAL_RECORDS <= records < _MANY_RECORDS:
        return
    end = time.monotonic() + _LONGEST_SECONDS
    acknowledgements.poll()
    while len(acknowledgements) and time.monotonic() < end:
        await asyncio.sleep(_LOOK_SECONDS)
        acknowledgements.poll()
