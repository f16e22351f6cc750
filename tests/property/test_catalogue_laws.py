from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from strategies import BEGINNING, DATA_TYPES, LANES, grown, logs, logs_with_more, seeds

from model_store.core.bounded import BoundedMap
from model_store.core.catalogue import EMPTY, Catalogue, LogEntry, fold, fold_all, revision_of
from model_store.core.changes import ChangeState
from model_store.core.commands import (
    Approve,
    ChangeRoute,
    Command,
    CommandBody,
    RegisterModel,
    RegisterVersion,
    SetAlias,
    SetPolicy,
    SetStage,
    StartRollout,
    SteerRollout,
    UpdateVersion,
)
from model_store.core.control_records import (
    TYPE_HEADER,
    Announced,
    ChangeReady,
    ControlRecord,
    CutsPromised,
    Invalid,
    ModelReport,
    ModelState,
    PartitionsClaimed,
    RouteApplied,
    Snapshot,
    Unknown,
    WorkerStarted,
)
from model_store.core.lanes import Lane
from model_store.core.operations import OperationState, operation
from model_store.core.plans import plain_plan
from model_store.core.timeline import decision, entry_at, intervals
from model_store.core.versions import ModelVersion, Stage
from model_store.core.wire import (
    EncodedRecord,
    decode_record,
    encode_command,
    encode_descriptor,
    encode_model_report,
    encode_worker_record,
    encode_worker_started,
)

words = st.sampled_from(DATA_TYPES)


def steps(log: list[LogEntry]) -> list[tuple[Catalogue, LogEntry, Catalogue]]:
    """Each record with the state before and after it."""
    catalogue, found = EMPTY, []
    for entry in log:
        before, catalogue = catalogue, fold(catalogue, entry)
        found.append((before, entry, catalogue))
    return found


@given(logs(), st.integers(0, 40))
def test_any_prefix_and_then_the_rest_is_the_whole(log: list[LogEntry], split: int) -> None:
    halfway = fold_all(EMPTY, log[:split])

    assert fold_all(halfway, log[split:]) == fold_all(EMPTY, log)


@given(logs(), st.data())
def test_records_that_come_again_change_nothing(log: list[LogEntry], data: st.DataObject) -> None:
    repeated: list[LogEntry] = []
    for at, entry in enumerate(log):
        repeated.append(entry)
        repeated += log[data.draw(st.integers(0, at)) : at + 1]

    assert fold_all(EMPTY, repeated) == fold_all(EMPTY, log)


@given(logs())
def test_the_revision_is_the_offset_of_the_last_record(log: list[LogEntry]) -> None:
    assert fold_all(EMPTY, log).offset == (log[-1].offset if log else -1)


@given(logs())
def test_unknown_records_change_nothing_but_their_count_and_snapshots_not_even_that(log: list[LogEntry]) -> None:
    known = [entry for entry in log if not isinstance(entry.record, Unknown | Snapshot)]

    with_unknown, without = fold_all(EMPTY, log), fold_all(EMPTY, known)

    assert replace(with_unknown, unknown=without.unknown, offset=without.offset) == without
    counted = sum(with_unknown.unknown.get(record_type) or 0 for record_type in with_unknown.unknown)
    assert counted == sum(isinstance(entry.record, Unknown) for entry in log)


@given(logs())
def test_versions_are_counted_from_one_by_model_in_the_order_of_the_log(log: list[LogEntry]) -> None:
    catalogue = fold_all(EMPTY, log)

    for model in catalogue.models.values():
        in_order = sorted(model.versions.values(), key=lambda version: version.control_offset)
        assert [version.version for version in in_order] == list(range(1, model.latest + 1))
        assert all(catalogue.versions[version.control_offset] == version for version in in_order)


@given(logs())
def test_a_version_never_changes_and_never_goes_away(log: list[LogEntry]) -> None:
    catalogue = EMPTY
    for entry in log:
        before, catalogue = catalogue, fold(catalogue, entry)
        assert all(catalogue.versions[offset] == version for offset, version in before.versions.items())


@given(logs())
def test_without_commands_a_route_serves_what_was_announced_last_for_its_data_type(log: list[LogEntry]) -> None:
    catalogue = fold_all(EMPTY, [entry for entry in log if not isinstance(entry.record, Command)])

    for data_type, route in catalogue.routes.items():
        announced = [version for version in catalogue.versions.values() if version.data_type == data_type]
        newest_first = sorted(announced, key=lambda version: -version.control_offset)
        assert route.history == tuple(newest_first)
        assert route.current is not None
        assert route.current.change == newest_first[0].control_offset
        assert route.plan is not None
        assert catalogue.version(route.plan.primary.target) == newest_first[0]


@given(logs())
def test_a_retry_takes_no_version_and_answers_to_the_first_request(log: list[LogEntry]) -> None:
    catalogue = fold_all(EMPTY, log)

    first: dict[tuple[str, str, str], int] = {}
    for position, entry in enumerate(log):
        if not isinstance(entry.record, Announced):
            continue
        descriptor = entry.record.descriptor
        model = fold_all(EMPTY, log[:position]).models.get(descriptor.name)
        if model is not None and model.is_deleted:
            assert entry.offset not in catalogue.versions
            continue
        request = (descriptor.data_type, descriptor.name, descriptor.request_id)
        is_retry = bool(descriptor.request_id) and request in first
        first.setdefault(request, entry.offset)
        assert (entry.offset in catalogue.versions) is not is_retry
        found = catalogue.version_at(entry.offset)
        assert found is not None
        assert found.control_offset == (first[request] if is_retry else entry.offset)


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


@given(logs())
def test_a_refused_command_changes_nothing_but_its_outcome(log: list[LogEntry]) -> None:
    for before, entry, after in steps(log):
        outcome_here = after.outcomes.get(entry.offset)
        if outcome_here is not None and not outcome_here.is_accepted:
            told = replace(before, offset=after.offset, outcomes=after.outcomes, commands=after.commands)
            assert after == told
            assert outcome_here.reason


@given(logs())
def test_every_command_has_an_outcome_and_a_retry_has_that_of_the_first_and_changes_nothing(
    log: list[LogEntry],
) -> None:
    first: dict[str, int] = {}
    for before, entry, after in steps(log):
        if not isinstance(entry.record, Command):
            continue
        is_retry = bool(entry.record.id) and entry.record.id in first
        first_offset = first.setdefault(entry.record.id, entry.offset) if entry.record.id else entry.offset
        assert after.announcement_of(entry.offset) == first_offset
        assert after.outcomes.get(first_offset) is not None
        if is_retry:
            assert after == replace(before, offset=after.offset, retries=after.retries)


@given(logs(), st.data())
def test_of_two_writers_who_saw_the_same_revision_at_most_one_is_accepted(
    log: list[LogEntry], data: st.DataObject
) -> None:
    commands = [entry.record for entry in log if isinstance(entry.record, Command)]
    about = [command for command in commands if thing(command.body) is not None]
    if not about:
        return
    catalogue = fold_all(EMPTY, log)
    one = data.draw(st.sampled_from(about))
    other = data.draw(st.sampled_from([command for command in about if thing(command.body) == thing(one.body)]))

    seen = revision_of(catalogue, one.body)
    at = catalogue.offset + 1
    rivals = [replace(command, id="", expected_revision=seen) for command in (one, other)]
    after = fold_all(catalogue, [LogEntry(at + number, 0, command) for number, command in enumerate(rivals)])

    assert seen is not None
    assert sum(is_accepted(after, at + number) for number in range(2)) <= 1


@given(logs())
def test_what_was_seen_just_now_is_never_stale(log: list[LogEntry]) -> None:
    catalogue = fold_all(EMPTY, log)

    for entry in log:
        if isinstance(entry.record, Command):
            seen = replace(entry.record, id="", expected_revision=revision_of(catalogue, entry.record.body))
            outcome_here = fold(catalogue, LogEntry(catalogue.offset + 1, 0, seen)).outcomes.get(catalogue.offset + 1)
            assert outcome_here is not None
            assert outcome_here.problem != "stale"


@given(logs())
def test_a_version_is_retired_or_deleted_exactly_while_nothing_points_to_it(log: list[LogEntry]) -> None:
    catalogue = fold_all(EMPTY, log)

    for version in catalogue.versions.values():
        for stage in (Stage.RETIRED, Stage.DELETED):
            body = SetStage(version.model, version.version, stage.value)
            after = fold(catalogue, LogEntry(catalogue.offset + 1, 0, Command("", "ann", "", body)))
            is_there = catalogue.notes_of(version).stage is not Stage.DELETED
            is_free = is_there and not catalogue.models[version.model].is_deleted and not pointers(catalogue, version)
            assert is_accepted(after, catalogue.offset + 1) is is_free


@given(logs())
def test_whatever_points_to_a_version_may_use_it(log: list[LogEntry]) -> None:
    catalogue = fold_all(EMPTY, log)

    for version in catalogue.versions.values():
        if pointers(catalogue, version):
            assert catalogue.notes_of(version).stage is Stage.ACTIVE


@given(logs())
def test_what_is_under_way_is_known_and_known_to_its_route(log: list[LogEntry]) -> None:
    catalogue = fold_all(EMPTY, log)

    under_way = {change.id: change.key for _, change in catalogue.changes.newest_first() if change.state.is_open}
    assert under_way == {route.change: key for key, route in catalogue.routes.items() if route.change is not None}
    assert catalogue.open_changes == set(under_way)
    moving = {rollout.id: rollout.key for _, rollout in catalogue.rollouts.newest_first() if rollout.state.is_open}
    assert moving == {route.rollout: key for key, route in catalogue.routes.items() if route.rollout is not None}


@given(seeds(50))
def test_what_is_under_way_is_never_dropped_however_much_else_happens(more: list[bytes]) -> None:
    forgetful = replace(EMPTY, changes=BoundedMap(2), rollouts=BoundedMap(1), jobs=BoundedMap(1))
    log = BEGINNING + grown(fold_all(EMPTY, BEGINNING), more)

    catalogue, whole = fold_all(forgetful, log), fold_all(EMPTY, log)

    for key, route in catalogue.routes.items():
        assert (route.change is None) or catalogue.open_change(route) is not None, key
        assert (route.rollout is None) or catalogue.open_rollout(route) is not None, key
    for change_id in whole.open_changes:
        assert catalogue.changes.get(change_id) == whole.changes.get(change_id)


@given(logs())
def test_entries_of_a_route_only_grow_and_so_do_their_cuts(log: list[LogEntry]) -> None:
    for before, _, after in steps(log):
        for key, route in before.routes.items():
            grown_route = after.routes[key]
            assert len(grown_route.entries) - len(route.entries) in (0, 1)
            for number, entry in route.entries.items():
                later = grown_route.entries[number]
                assert replace(later, cuts=entry.cuts) == entry
                assert all(later.cuts[lane] == cut for lane, cut in entry.cuts.items())


@given(logs())
def test_a_committed_exact_change_has_the_cut_of_every_lane_that_had_to_promise(log: list[LogEntry]) -> None:
    catalogue = fold_all(EMPTY, log)

    for _, change in catalogue.changes.newest_first():
        if change.state is ChangeState.COMMITTED and change.is_exact:
            found = catalogue.routes[change.key].entry_of(change.id)
            assert found is not None
            assert set(found[1].cuts) == change.required
            assert {lane: promised.cut for lane, promised in change.promises.items()} == dict(found[1].cuts)


@given(logs_with_more())
def test_decisions_below_whatever_may_still_be_scored_never_change(
    logged: tuple[list[LogEntry], list[LogEntry]],
) -> None:
    """Of a lane, an offset may still be scored if it is at or above the lowest position that later records name in it (a
    claim's start, a cut, where an immediate change was made) or that a promise names whose change is under way."""
    log, more = logged
    before = fold_all(EMPTY, log)
    after = fold_all(before, more)

    for lane in LANES:
        below = min(open_cuts(before, lane) + named_positions(more, lane), default=70)
        for offset in {*range(0, below, 7), below - 1}.difference({-1}):
            for data_type in DATA_TYPES:
                assert decided(before, lane, offset, data_type) == decided(after, lane, offset, data_type)


@given(logs())
def test_a_reader_that_is_behind_decides_as_all_others_did_when_they_were_there(log: list[LogEntry]) -> None:
    states = [after for _, _, after in steps(log)]

    for behind in states[:: max(1, len(states) // 5)]:
        again = fold_all(EMPTY, [entry for entry in log if entry.offset <= behind.offset])
        for lane in LANES:
            for offset in range(0, 60, 11):
                assert [decision(again, lane, offset, name) for name in DATA_TYPES] == [
                    decision(behind, lane, offset, name) for name in DATA_TYPES
                ]


@given(logs(), st.integers(0, 60))
def test_the_intervals_of_a_lane_say_what_entry_at_says_of_each_offset(log: list[LogEntry], start: int) -> None:
    catalogue = fold_all(EMPTY, log)

    for route in catalogue.routes.values():
        for lane in LANES:
            found = intervals(catalogue, route, lane, start)
            for offset in range(start, 62):
                within = [i for i in found if i.start <= offset and (i.end is None or offset < i.end)]
                said = entry_at(catalogue, route, lane, offset)
                assert [(i.entry, i.start) for i in within] == ([] if said is None else [said])


@given(logs(), st.data())
def test_no_bytes_make_the_fold_raise(log: list[LogEntry], data: st.DataObject) -> None:
    catalogue = EMPTY
    for entry in log:
        catalogue = fold(catalogue, replace(entry, record=damaged(entry.record, data)))


def damaged(record: ControlRecord, data: st.DataObject) -> ControlRecord:
    """What becomes of a record on whose bytes something gnawed."""
    encoded = encoded_record(record)
    value = bytearray(encoded.value)
    for _ in range(data.draw(st.integers(0, 2)) if value else 0):
        value[data.draw(st.integers(0, len(value) - 1))] = data.draw(st.integers(0, 255))
    return decode_record(encoded.headers, encoded.key, bytes(value))


def encoded_record(record: ControlRecord) -> EncodedRecord:
    """A record as a producer writes it."""
    match record:
        case Announced(descriptor, payload):
            return encode_descriptor(descriptor, payload)
        case Command():
            return encode_command(record)
        case WorkerStarted():
            return encode_worker_started(record)
        case ModelReport():
            return encode_model_report(record)
        case PartitionsClaimed() | ChangeReady() | CutsPromised() | RouteApplied() | Snapshot():
            return encode_worker_record(record)
        case Invalid():
            return EncodedRecord(b"", b"", [])
        case Unknown(record_type):
            return EncodedRecord(b"", b"", [(TYPE_HEADER, record_type.encode())])


def is_accepted(catalogue: Catalogue, offset: int) -> bool:
    found = catalogue.outcomes.get(offset)
    return found is not None and found.is_accepted


def thing(body: CommandBody) -> tuple[str, ...] | None:
    """What the revision in a command is of."""
    match body:
        case ChangeRoute(key=key) | StartRollout(key=key):
            return "route", key
        case RegisterModel(model=name) | SetPolicy(model=name) | SetAlias(model=name) | SetStage(model=name, version=0):
            return "model", name
        case RegisterVersion(descriptor=descriptor):
            return "model", descriptor.name
        case UpdateVersion(model=name, version=number) | SetStage(model=name, version=number):
            return "version", name, str(number)
        case Approve(model=name, version=number):
            return "version", name, str(number)
        case SteerRollout(rollout=rollout):
            return "rollout", str(rollout)
        case _:
            return None


def pointers(catalogue: Catalogue, version: ModelVersion) -> set[str]:
    """What points to a version, told apart from how the fold looks for it."""
    found = set()
    for key, route in catalogue.routes.items():
        plans = [route.plan]
        if route.change is not None:
            change = catalogue.changes.get(route.change)
            plans.append(change.plan if change is not None else None)
        if route.rollout is not None:
            rollout = catalogue.rollouts.get(route.rollout)
            assert rollout is not None
            plans += [rollout.base, plain_plan(rollout.candidate.model, rollout.candidate.version)]
        named = {(t.model, t.version) for plan in plans if plan is not None for t in plan.targets()}
        if (version.model, version.version) in named:
            found.add(f"route {key}")
    aliases = catalogue.models[version.model].aliases
    return found | {f"alias {alias}" for alias, number in aliases.items() if number == version.version}


def open_cuts(catalogue: Catalogue, lane: Lane) -> list[int]:
    changes = [change for _, change in catalogue.changes.newest_first() if change.state.is_open]
    return [change.promises[lane].cut for change in changes if lane in change.promises]


def named_positions(log: list[LogEntry], lane: Lane) -> list[int]:
    """Data offsets of a lane that records name."""
    found: list[int] = []
    for entry in log:
        match entry.record:
            case PartitionsClaimed(group=group, partitions=positions):
                found += [at.offset for at in positions if Lane(group, at.topic, at.partition) == lane]
            case CutsPromised(group=group, cuts=positions) | RouteApplied(group=group, since=positions):
                found += [at.offset for at in positions if Lane(group, at.topic, at.partition) == lane]
    return found


def decided(catalogue: Catalogue, lane: Lane, offset: int, data_type: str) -> tuple[object, ...] | None:
    """A decision without the cuts of other lanes, which may become known later."""
    found = decision(catalogue, lane, offset, data_type, b"entity")
    if found is None:
        return None
    return (found.key, found.entry.offset, found.entry.plan, found.start, found.target, found.reason)
