"""Errors of the data plane. Each of them ends the worker; what was not committed is read again by whoever comes next.

FeedError
├── OutputRefusedError       an output cannot be written: too large, no such topic, not allowed, given up by the client
├── BatchNotReturnedError    an agent left a batch without `done()`, held it too long, or handed it back twice
├── PositionLostError        the broker no longer has the records that come next
├── ConsumerFailedError      the client gave up: fenced by another process, not allowed, a fatal error
└── ControlTopicError        the control topic cannot be one ordered log
"""

from __future__ import annotations

from serving.core.errors import ServingError


class FeedError(ServingError):
    """Base of the data plane's errors; never raised itself."""


class OutputRefusedError(FeedError):
    """A record could not be written, so the batch it belongs to will never be committed by this process."""

    def __init__(self, topic: str, reason: str) -> None:
        super().__init__(f"could not write to topic {topic!r}: {reason}; nothing of the batch is committed")
        self.topic = topic
        self.reason = reason


class BatchNotReturnedError(FeedError):
    """The agent broke the contract of `ColumnBatch.done`."""


class PositionLostError(FeedError):
    """The next records of a partition are gone, by retention or because the topic was made anew."""


class ConsumerFailedError(FeedError):
    """The consumer cannot go on in this process."""


class ControlTopicError(FeedError):
    """The control topic is not a log that all readers can read in the same order."""
