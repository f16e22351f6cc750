"""Jobs in JSON."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_store.core.jobs import (
    Backtest,
    Correction,
    InvalidJobError,
    Job,
    OffsetRange,
    TimeRange,
    VersionAt,
    VersionName,
    job_from_json,
    job_to_json,
)

counts = st.integers(0, 2**63 - 1)
positives = st.integers(1, 2**63 - 1)
names = st.text(min_size=1, max_size=20)
versions = st.builds(VersionAt, names, positives, counts)
times = st.tuples(counts, counts).filter(lambda pair: pair[0] < pair[1]).map(lambda pair: TimeRange(*pair))


@st.composite
def offset_ranges(draw: st.DrawFn) -> tuple[OffsetRange, ...]:
    found = []
    for partition in draw(st.lists(st.integers(0, 50), min_size=1, max_size=5, unique=True)):
        edges = sorted(draw(st.sets(counts, min_size=2, max_size=6)))
        found += [OffsetRange(partition, first, end) for first, end in zip(edges[::2], edges[1::2], strict=False)]
    return tuple(found)


ids = st.from_regex(r"\A[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9])?\Z")
backtests = st.builds(
    Backtest,
    id=ids,
    stream=names,
    ranges=times | offset_ranges(),
    candidate=versions,
    baseline=st.just("recorded") | versions,
    data_type=st.none() | names,
    segment_by=st.none() | names,
    tolerance=st.floats(0, 1e300),
    max_records=st.none() | positives,
    records_per_second=positives,
)
corrections = st.builds(
    Correction,
    id=ids,
    stream=names,
    ranges=times | offset_ranges(),
    bad=st.builds(VersionName, names, positives),
    good=versions,
    data_type=st.none() | names,
    since_ms=st.none() | counts,
    records_per_second=positives,
).filter(lambda job: (job.good.model, job.good.version) != (job.bad.model, job.bad.version))


@given(backtests | corrections)
def test_a_job_is_read_back_as_it_was_written(job: Job) -> None:
    assert job_from_json(job_to_json(job)) == job


def backtest(**changes: Any) -> str:
    job = {
        "kind": "backtest",
        "id": "b-1",
        "stream": "wine",
        "ranges": [{"partition": 0, "from": 0, "to": 10}],
        "candidate": {"model": "wine", "version": 2, "control_offset": 7},
        **changes,
    }
    return json.dumps({name: value for name, value in job.items() if value != "gone"})


def correction(**changes: Any) -> str:
    own = {"bad": {"model": "wine", "version": 2}, "good": {"model": "wine", "version": 1, "control_offset": 3}}
    return backtest(**{"kind": "correction", "candidate": "gone", **own, **changes})


def test_what_a_job_does_not_say_has_a_default() -> None:
    job = job_from_json(backtest())

    assert job == Backtest("b-1", "wine", (OffsetRange(0, 0, 10),), VersionAt("wine", 2, 7))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "job: expected an object"),
        (backtest(kind="gone"), "job.kind: missing"),
        (backtest(kind="audit"), "expected `backtest` or `correction`, found 'audit'"),
        (backtest(typo=1), "job: unknown: typo"),
        (backtest(id="a b"), "job.id: expected 1 to 100 letters"),
        (backtest(id=7), "job.id: expected a text, found 7"),
        (backtest(ranges=[]), "expected 1 to 10000 ranges, found 0"),
        (backtest(ranges=[{"partition": 0, "from": 5, "to": 5}]), r"job.ranges\[0\]: `to` must be more than `from`"),
        (backtest(ranges=[{"partition": 0, "from": True, "to": 5}]), r"ranges\[0\].from: expected a whole number"),
        (
            backtest(ranges=[{"partition": 0, "from": 0, "to": 5}, {"partition": 0, "from": 4, "to": 9}]),
            "two ranges of partition 0 overlap at 4",
        ),
        (backtest(ranges={"from_ms": 5, "to_ms": 5}), "`to_ms` must be more"),
        (backtest(ranges={"from_ms": 5, "to_ms": 9, "zone": "UTC"}), "job.ranges: unknown: zone"),
        (backtest(candidate={"model": "wine", "version": 0, "control_offset": 7}), "candidate.version: expected a whole"),
        (backtest(baseline="live"), "job.baseline: expected an object"),
        (backtest(tolerance=-1), "job.tolerance: expected a finite number"),
        (backtest(tolerance=float("nan")), "job.tolerance: expected a finite number"),
        (backtest(records_per_second=0), "records_per_second: expected a whole number from 1 on"),
        (backtest(max_records=1.5), "max_records: expected a whole number"),
        (correction(bad={"model": "wine", "version": 1}), "job.good: wine v1 is the bad version itself"),
        (correction(max_records=3), "job: unknown: max_records"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_with_its_place(text: str, message: str) -> None:
    with pytest.raises(InvalidJobError, match=message):
        job_from_json(text)
