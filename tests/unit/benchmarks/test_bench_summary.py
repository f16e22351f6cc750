"""From runs to the figures of the tables."""

from dataclasses import replace

import pytest

from benchmarks.figures import Book, Failure, Scaling, Throughput, from_json, to_json
from benchmarks.machine import Weather
from benchmarks.report.sources import KINDS
from benchmarks.summary import costs, scaled

RUN = Throughput(
    peer="worker", model="tree", delivery="at_least_once", weather=Weather(1.0, 0.0, 1.5), round=0, processes=1,
    cpu_us=2.0, rate=400_000, records=1_000, start_seconds=1.0, resident_mb=100.0, checked=10, wrong=0, flawed=0,
    mean_bytes=104.0,
)  # fmt: skip


def runs(peer: str, *cpu_us: float, **other: object) -> list[Throughput]:
    return [replace(RUN, peer=peer, round=at, cpu_us=cpu, **other) for at, cpu in enumerate(cpu_us)]


def by_peer(figures: list[Throughput]) -> dict[str, object]:
    return {cost.system[0]: cost for cost in costs(figures)}


def test_the_ratio_is_to_the_reference_of_the_same_round():
    # The second round hit a slow phase: medians of each system alone would say 2.5 / 2.4.
    found = by_peer(runs("java-loop", 2.4, 4.8, 2.4) + runs("worker", 1.2, 2.5, 3.6))["worker"]

    assert found.ratios == (0.5, 0.521, 1.5)
    assert found.ratio == 0.52
    assert (found.cpu_us, found.low, found.high) == (2.5, 1.2, 3.6)


def test_a_round_without_the_reference_gives_no_ratio():
    found = by_peer(runs("java-loop", 2.0) + runs("worker", 1.0, 1.0))["worker"]

    assert found.ratios == (0.5,)
    assert found.runs == 2


def test_the_reference_is_of_the_same_model():
    found = by_peer(runs("java-loop", 2.0, model="linear") + runs("worker", 1.0))["worker"]

    assert found.ratio is None


def test_exactly_once_is_compared_with_the_reference_at_least_once():
    exactly = runs("worker", 1.0, delivery="exactly_once")
    found = by_peer(runs("java-loop", 2.0) + runs("java-loop", 9.0, delivery="exactly_once") + exactly)["worker"]

    assert found.ratio == 0.5


def test_a_system_with_a_wrong_result_in_any_round_is_not_right_and_comes_last():
    found = costs([*runs("worker", 3.0), replace(RUN, peer="liar", cpu_us=0.1, wrong=1)])

    assert [cost.system[0] for cost in found] == ["worker", "liar"]
    assert not found[1].is_right


def test_a_reference_that_answers_wrongly_is_none():
    found = by_peer([*runs("worker", 1.0), replace(RUN, peer="java-loop", flawed=3)])["worker"]

    assert found.ratio is None


def test_two_processes_are_compared_round_by_round():
    one = [Scaling(**_fields(replace(RUN, round=at, rate=rate))) for at, rate in enumerate((100, 200, 100))]
    two = [Scaling(**_fields(replace(RUN, round=at, rate=r, processes=2))) for at, r in enumerate((150, 400, 160))]

    (found,) = scaled(one + two)

    assert found.gain == 1.6
    assert (found.rate_one, found.rate_two) == (100, 160)


def test_a_system_that_ran_with_one_process_only_does_not_scale():
    assert scaled(runs("worker", 1.0)) == []


def test_a_file_of_figures_is_read_as_it_was_written():
    book = Book(
        {"date": "2026"}, {"arguments": ["--quick"]}, {"worker": "Ours"}, [RUN], [Failure("kill", "p", "", "", "r")]
    )

    read = from_json(to_json(book), KINDS)

    assert (read.figures, read.failures, read.peers) == (book.figures, book.failures, book.peers)
    assert read.environment == book.environment


def test_an_empty_book_is_a_file_too():
    assert from_json(to_json(Book({}, {})), KINDS).figures == []


def test_a_file_of_another_format_is_refused():
    with pytest.raises(ValueError, match="format 99"):
        from_json('{"format": 99}', KINDS)


def _fields(run: Throughput) -> dict[str, object]:
    return {name: getattr(run, name) for name in run.__dataclass_fields__ if name != "part"}
