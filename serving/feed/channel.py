"""The channel between the feed and the scoring agent.

Faust's own `app.channel()` gives its queue to the app's flow control, which clears it whenever the app's own consumer
group rebalances. What is in this channel belongs to the feed's consumer group, so nobody but the feed may drop it.
"""

from __future__ import annotations

import faust
from mode.utils.queues import FlowControlEvent, ThrowableQueue


class FeedChannel(faust.Channel):  # type: ignore[misc]  # faust has no type information
    """A Faust channel of `ColumnBatch`es whose queue is not subject to the app's flow control.

    Exactly one agent with `concurrency=1` reads it: a second one would be given the same batches again. To work on several
    batches at once set the feed's `overlap` and start tasks in that agent.
    """

    @property
    def queue(self) -> ThrowableQueue:
        """The subscriber's queue. It is not bounded: the feed never hands out more than it may have in flight."""
        if self._queue is None:  # type: ignore[has-type]
            self._queue = ThrowableQueue(maxsize=0, flow_control=FlowControlEvent(initially_suspended=False))
        return self._queue
