"""A request and its answer stay together, also where an answer comes too late."""

import socket

import pytest

from serving.scorers.pmml.frames import Kind, send
from serving.scorers.pmml.process import Channel, ChildGoneError, SilentChildError


def test_after_an_answer_that_came_too_late_nothing_is_asked_any_more() -> None:
    ours, theirs = socket.socketpair()
    channel = Channel(ours)
    with pytest.raises(ChildGoneError, match=r"no answer within 0\.01 s") as late:
        channel.ask(Kind.COMPARE, 1, 0, [b"compare"], 0.01)
    assert late.value.timed_out
    send(theirs, Kind.ANSWER, 1, 0, [b"the answer to the comparison"])

    with pytest.raises(SilentChildError, match="has not answered an earlier request in time") as refused:
        channel.ask(Kind.LOAD, 2, 0, [b"load"], 10.0)

    assert not refused.value.timed_out
    channel.close()
    theirs.close()
