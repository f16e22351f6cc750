"""Outputs that are written for several batches together finish none of them before all are acknowledged."""

from collections.abc import Callable
from typing import Any

from serving.feed.at_least_once import AtLeastOnce
from serving.feed.batch import Output
from serving.feed.delivery import Counts
from serving.feed.errors import OutputRefusedError
from serving.feed.lanes import Lane


class Refused:
    """What the client says of a record that failed."""

    def topic(self) -> str:
        return "results"

    def str(self) -> str:
        return "too large"


class Writer:
    """Takes outputs, and calls back as often as it says."""

    def __init__(self) -> None:
        self.reports: list[Callable[[Any, Any], None]] = []

    def send(self, output: Output, report: Callable[[Any, Any], None]) -> int:
        self.reports += [report] * len(output.values)
        return len(output.values)


def lane(partition: int) -> Lane:
    made = Lane("records", partition)
    made.place(0, origin=1)
    return made


def test_each_batch_is_finished_when_all_that_was_written_with_it_is_acknowledged() -> None:
    failures: list[BaseException] = []
    lanes = [lane(0), lane(1)]
    tickets = [each.hand_out(10, 0.0) for each in lanes]
    writer = Writer()
    commitment = AtLeastOnce(None, writer, {each.key: each for each in lanes}, Counts(), failures.append)  # type: ignore[arg-type]

    commitment.write(tickets, [Output("results", None, [b"1", b"2"]), Output("dead", None, [b"3"])])
    for ticket in tickets:
        ticket.is_returned = True

    for report in writer.reports:
        assert [each.due() for each in lanes] == [None, None]
        report(None, None)
    assert [each.due() for each in lanes] == [10, 10]
    assert failures == []


def test_one_that_is_refused_finishes_none_of_them() -> None:
    failures: list[BaseException] = []
    lanes = [lane(0), lane(1)]
    tickets = [each.hand_out(10, 0.0) for each in lanes]
    writer = Writer()
    commitment = AtLeastOnce(None, writer, {each.key: each for each in lanes}, Counts(), failures.append)  # type: ignore[arg-type]
    commitment.write(tickets, [Output("results", None, [b"1", b"2"])])
    for ticket in tickets:
        ticket.is_returned = True

    writer.reports[0](None, None)
    writer.reports[1](Refused(), Refused())

    assert [type(failure) for failure in failures] == [OutputRefusedError]
    assert [each.due() for each in lanes] == [None, None]
