from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from model_store.core.bounded import BoundedMap
from model_store.core.catalogue import EMPTY, Catalogue, LogEntry, fold, fold_all
from model_store.core.control_records import (
    Announced,
    ControlRecord,
    Invalid,
    ModelReport,
    ModelState,
    Unknown,
    WorkerStarted,
)
from model_store.core.descriptor import Descriptor
from model_store.core.operations import OperationState, operation

words = st.sampled_from(["a", "b", "c"])
requests = st.sampled_from(["", "", "r1", "r2"])

records: st.SearchStrategy[ControlRecord] = st.one_of(
    st.builds(
        lambda name, data_type, request: Announced(
            Descriptor(name, data_type, "PMML", location="/m", request_id=request)
        ),
        words, words, requests,
    ),
    st.builds(Invalid, words, words, words),
    st.builds(Unknown, words),
    st.builds(WorkerStarted, words, st.sampled_from(["e1", "e2"])),
    st.builds(
        ModelReport, words, st.sampled_from(["e1", "e2"]), st.integers(0, 40), words, st.integers(1, 9), words,
        st.sampled_from(ModelState),
    ),
)  # fmt: skip


@st.composite
def logs(draw: st.DrawFn) -> list[LogEntry]:
    offset, entries = -1, []
    for record in draw(st.lists(records, max_size=40)):
        offset += draw(st.integers(1, 3))
        entries.append(LogEntry(offset, 1_000 * offset, record))
    return entries


@settings(deadline=None)
@given(logs(), st.integers(0, 40))
def test_any_prefix_and_then_the_rest_is_the_whole(log: list[LogEntry], split: int) -> None:
    halfway = fold_all(EMPTY, log[:split])

    assert fold_all(halfway, log[split:]) == fold_all(EMPTY, log)


@settings(deadline=None)
@given(logs(), st.data())
def test_records_that_come_again_change_nothing(log: list[LogEntry], data: st.DataObject) -> None:
    repeated: list[LogEntry] = []
    for at, entry in enumerate(log):
        repeated.append(entry)
        repeated += log[data.draw(st.integers(0, at)) : at + 1]

    assert fold_all(EMPTY, repeated) == fold_all(EMPTY, log)


@settings(deadline=None)
@given(logs())
def test_the_revision_is_the_offset_of_the_last_record(log: list[LogEntry]) -> None:
    assert fold_all(EMPTY, log).offset == (log[-1].offset if log else -1)


@settings(deadline=None)
@given(logs())
def test_unknown_records_change_nothing_but_their_count(log: list[LogEntry]) -> None:
    known = [entry for entry in log if not isinstance(entry.record, Unknown)]

    with_unknown, without = fold_all(EMPTY, log), fold_all(EMPTY, known)

    assert replace(with_unknown, unknown=without.unknown, offset=without.offset) == without
    counted = sum(with_unknown.unknown.get(record_type) or 0 for record_type in with_unknown.unknown)
    assert counted == len(log) - len(known)


@settings(deadline=None)
@given(logs())
def test_versions_are_counted_from_one_by_model_in_the_order_of_the_log(log: list[LogEntry]) -> None:
    catalogue = fold_all(EMPTY, log)

    for model in catalogue.models.values():
        in_order = sorted(model.versions.values(), key=lambda version: version.control_offset)
        assert [version.version for version in in_order] == list(range(1, model.latest + 1))
        assert all(catalogue.versions[version.control_offset] == version for version in in_order)


@settings(deadline=None)
@given(logs())
def test_a_version_never_changes_and_never_goes_away(log: list[LogEntry]) -> None:
    catalogue = EMPTY
    for entry in log:
        before, catalogue = catalogue, fold(catalogue, entry)
        assert all(catalogue.versions[offset] == version for offset, version in before.versions.items())


@settings(deadline=None)
@given(logs())
def test_a_route_serves_what_was_announced_last_for_its_data_type(log: list[LogEntry]) -> None:
    catalogue = fold_all(EMPTY, log)

    for data_type, route in catalogue.routes.items():
        announced = [version for version in catalogue.versions.values() if version.data_type == data_type]
        newest_first = sorted(announced, key=lambda version: -version.control_offset)
        assert route.current == newest_first[0]
        assert catalogue.candidates(data_type) == tuple(newest_first)


@settings(deadline=None)
@given(logs())
def test_a_retry_takes_no_version_and_answers_to_the_first_request(log: list[LogEntry]) -> None:
    catalogue = fold_all(EMPTY, log)

    first: dict[tuple[str, str, str], int] = {}
    for entry in log:
        if not isinstance(entry.record, Announced):
            continue
        descriptor = entry.record.descriptor
        request = (descriptor.data_type, descriptor.name, descriptor.request_id)
        is_retry = bool(descriptor.request_id) and request in first
        first.setdefault(request, entry.offset)
        assert (entry.offset in catalogue.versions) is not is_retry
        found = catalogue.version_at(entry.offset)
        assert found is not None
        assert found.control_offset == (first[request] if is_retry else entry.offset)


@settings(deadline=None)
@given(logs())
def test_a_worker_has_loaded_only_what_its_latest_start_reported_live(log: list[LogEntry]) -> None:
    catalogue = fold_all(EMPTY, log)

    for name in catalogue.workers:
        worker = catalogue.workers.get(name)
        assert worker is not None
        for data_type, reported in worker.loaded.items():
            assert reported.report.state is ModelState.LIVE
            assert (reported.report.data_type, reported.report.epoch) == (data_type, worker.epoch)
            assert reported.offset >= worker.started_offset


def outcome(catalogue: Catalogue, offset: int, live: set[str]) -> OperationState | None:
    view = operation(catalogue, offset, live)
    return None if view is None else view.state


@settings(deadline=None)
@given(logs(), st.sets(words), st.sets(words))
def test_an_operation_that_failed_or_succeeded_stays_so_when_workers_come(
    log: list[LogEntry], live: set[str], joining: set[str]
) -> None:
    catalogue = fold_all(EMPTY, log)
    new = [
        LogEntry(catalogue.offset + 1 + at, 0, WorkerStarted(f"new-{name}", "e"))
        for at, name in enumerate(sorted(joining))
    ]
    after = fold_all(catalogue, new)

    for offset, version in catalogue.versions.items():
        early = {name for name in live if is_earlier(catalogue, name, version.control_offset)}
        before = outcome(catalogue, offset, early)
        if before is not OperationState.RUNNING and early:
            assert outcome(after, offset, early | {f"new-{name}" for name in joining}) is before


def is_earlier(catalogue: Catalogue, name: str, offset: int) -> bool:
    worker = catalogue.workers.get(name)
    return worker is not None and worker.first_offset < offset


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers())), st.integers(1, 5))
def test_a_bounded_map_keeps_what_was_set_last(steps: list[tuple[int, int]], capacity: int) -> None:
    bounded: BoundedMap[int, int] = BoundedMap(capacity)
    model: dict[int, int] = {}
    for key, value in steps:
        bounded = bounded.set(key, value)
        model.pop(key, None)
        model[key] = value
        while len(model) > capacity:
            del model[next(iter(model))]

        assert list(bounded.newest_first()) == list(reversed(model.items()))
        assert len(bounded.order) == len(bounded) == len(model)
