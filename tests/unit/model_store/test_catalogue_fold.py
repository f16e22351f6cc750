import math
import time
from dataclasses import replace

import pytest
from immutables import Map

from model_store.core.bounded import BoundedMap
from model_store.core.catalogue import EMPTY, Catalogue, LogEntry, fold, fold_all, revision_of
from model_store.core.changes import ChangeState
from model_store.core.commands import (
    ChangeRoute,
    Command,
    CommandBody,
    Outcome,
    ProposeChange,
    RegisterVersion,
    SetStage,
    StartRollout,
    Step,
)
from model_store.core.control_records import (
    Announced,
    ControlRecord,
    CutsPromised,
    Invalid,
    ModelReport,
    ModelState,
    PartitionOffset,
    PartitionsClaimed,
    Unknown,
    WorkerStarted,
)
from model_store.core.descriptor import Descriptor
from model_store.core.lanes import Lane
from model_store.core.plans import WHOLE, Target, plain_plan
from model_store.core.routes import ROUTE_HISTORY, Route
from model_store.core.state import REJECTED_KEPT, REQUESTS_KEPT


def announced(name: str = "tree", data_type: str = "wine", request_id: str = "") -> Announced:
    return Announced(Descriptor(name, data_type, "PMML", location="/m", request_id=request_id))


def report(offset: int, state: ModelState, data_type: str = "wine", epoch: str = "e1") -> ModelReport:
    return ModelReport("w1", epoch, offset, "tree", 1, data_type, state)


def folded(*records: ControlRecord) -> Catalogue:
    return fold_all(EMPTY, [LogEntry(offset, 1_000 + offset, record) for offset, record in enumerate(records)])


def serving(catalogue: Catalogue, key: str) -> Target:
    plan = catalogue.routes[key].plan
    assert plan is not None
    return plan.primary.target


def asked(body: CommandBody, revision: int | None = None) -> Command:
    return Command("", "ann", "why", body, revision)


def outcome(catalogue: Catalogue) -> Outcome:
    """Of the command that was folded last."""
    found = catalogue.outcomes.get(catalogue.offset)
    assert found is not None
    return found


def claimed(partition: int, at: int = 0) -> PartitionsClaimed:
    return PartitionsClaimed("w1", "e1", f"claim-{partition}", "g", (PartitionOffset("t", partition, at),))


def loaded(*records: ControlRecord) -> dict[str, int]:
    worker = folded(*records).workers.get("w1")
    assert worker is not None
    return {data_type: reported.report.control_offset for data_type, reported in worker.loaded.items()}


def test_an_announcement_becomes_a_version_and_turns_its_route() -> None:
    catalogue = folded(announced(), announced("forest"), announced())

    current = catalogue.routes["wine"].history[0]
    assert (current.model, current.version, current.control_offset, current.published_at_ms) == ("tree", 2, 2, 1_002)
    assert serving(catalogue, "wine") == Target("tree", 2)
    assert [version.model for version in catalogue.routes["wine"].history] == ["tree", "forest", "tree"]
    assert catalogue.models["tree"].created_at_ms == 1_000
    assert catalogue.models["tree"].latest_version == current


def test_a_model_serves_several_data_types_with_one_count_of_versions() -> None:
    catalogue = folded(announced("tree", "red"), announced("tree", "white"))

    assert serving(catalogue, "red") == Target("tree", 1)
    assert serving(catalogue, "white") == Target("tree", 2)


def test_an_unknown_data_type_has_no_route() -> None:
    assert EMPTY.routes_for("wine") == []


def test_a_route_that_was_never_given_a_plan_serves_nothing() -> None:
    assert (Route("wine").current, Route("wine").plan) == (None, None)


def test_a_route_remembers_a_bounded_stack() -> None:
    catalogue = folded(*[announced() for _ in range(ROUTE_HISTORY + 20)])

    assert len(catalogue.routes["wine"].history) == ROUTE_HISTORY
    assert len(catalogue.routes["wine"].entries) == ROUTE_HISTORY + 20
    assert catalogue.models["tree"].latest == ROUTE_HISTORY + 20


def test_an_invalid_announcement_is_kept_with_its_reason_and_changes_nothing_else() -> None:
    catalogue = folded(announced(), Invalid("no name", data_type="wine"), announced())

    rejected = catalogue.rejected.get(1)
    assert rejected is not None
    assert (rejected.reason, rejected.data_type, rejected.at_ms) == ("no name", "wine", 1_001)
    assert catalogue.models["tree"].latest == 2


def test_only_the_newest_rejections_are_kept() -> None:
    catalogue = folded(*[Invalid(str(number)) for number in range(REJECTED_KEPT + 5)])

    assert len(catalogue.rejected) == REJECTED_KEPT
    assert next(catalogue.rejected.newest_first())[1].reason == str(REJECTED_KEPT + 4)


def test_a_retried_request_is_recognised_for_a_bounded_time() -> None:
    first = folded(announced(request_id="r"), announced(request_id="r"))
    assert first.models["tree"].latest == 1
    assert first.announcement_of(1) == 0

    others = [announced(request_id=f"r{number}") for number in range(REQUESTS_KEPT)]
    later = folded(announced(request_id="r"), *others, announced(request_id="r"))
    assert later.models["tree"].latest == REQUESTS_KEPT + 2


def test_unknown_records_are_counted_by_type() -> None:
    catalogue = folded(Unknown("claim"), Unknown("claim"), Unknown("other"))

    assert (catalogue.unknown.get("claim"), catalogue.unknown.get("other")) == (2, 1)


def test_a_worker_has_loaded_what_it_reported_live_until_it_is_replaced_or_retired() -> None:
    start = (WorkerStarted("w1", "e1"), announced(), report(1, ModelState.LIVE), announced())

    assert loaded(*start) == {"wine": 1}
    assert loaded(*start, report(3, ModelState.REFUSED)) == {"wine": 1}
    assert loaded(*start, report(3, ModelState.RETRYING)) == {"wine": 1}
    assert loaded(*start, report(3, ModelState.LIVE)) == {"wine": 3}
    assert loaded(*start, report(3, ModelState.LIVE), report(1, ModelState.RETIRED)) == {"wine": 3}
    assert loaded(*start, report(1, ModelState.RETIRED)) == {}
    assert loaded(*start, report(3, ModelState.ELSEWHERE)) == {}


def test_a_worker_that_starts_anew_has_loaded_nothing() -> None:
    assert loaded(WorkerStarted("w1", "e1"), report(0, ModelState.LIVE), WorkerStarted("w1", "e2")) == {}


def test_a_repeated_start_record_of_the_same_epoch_keeps_what_is_loaded() -> None:
    assert loaded(WorkerStarted("w1", "e1"), report(0, ModelState.LIVE), WorkerStarted("w1", "e1")) == {"wine": 0}


def test_a_report_of_an_earlier_start_is_only_counted() -> None:
    catalogue = folded(WorkerStarted("w1", "e1"), WorkerStarted("w1", "e2"), report(0, ModelState.LIVE, epoch="e1"))

    worker = catalogue.workers.get("w1")
    assert worker is not None
    assert (len(worker.loaded), len(worker.reports), catalogue.stale_reports) == (0, 0, 1)


def test_a_report_of_a_worker_that_was_never_announced_makes_it_known() -> None:
    worker = folded(report(0, ModelState.LIVE)).workers.get("w1")

    assert worker is not None
    assert (worker.started, worker.epoch, list(worker.loaded)) == (None, "e1", ["wine"])


def test_a_model_is_deleted_by_whoever_saw_its_newest_revision() -> None:
    catalogue = folded(announced(), announced("forest"))
    seen = revision_of(catalogue, SetStage("tree", 0, "deleted"))
    assert seen == catalogue.models["tree"].revision == 0

    late = fold(folded(announced(), announced("forest"), announced()), LogEntry(9, 0, deletion(seen)))
    in_time = fold(catalogue, LogEntry(9, 0, deletion(seen)))

    assert outcome(late).problem == "stale"
    assert outcome(in_time).is_accepted
    assert in_time.models["tree"].is_deleted


def deletion(revision: int | None) -> Command:
    return asked(SetStage("tree", 0, "deleted"), revision)


def test_a_lane_that_was_claimed_since_a_change_was_asked_for_has_to_promise_whoever_forgot_it() -> None:
    change = asked(ChangeRoute("wine", plain_plan("tree", 1)))

    catalogue = folded(announced(), claimed(0), change, claimed(1), asked(ProposeChange(2, (Lane("g", "t", 0),))))

    found = catalogue.changes.get(2)
    assert found is not None
    assert found.required == {Lane("g", "t", 0), Lane("g", "t", 1)}
    assert found.state is ChangeState.PROPOSED


def test_the_same_claim_again_changes_nothing() -> None:
    catalogue = folded(claimed(0, 5), announced())

    assert fold(catalogue, LogEntry(2, 0, claimed(0, 5))).lanes == catalogue.lanes


def test_a_claim_whose_turn_is_over_changes_nothing_and_its_promise_does_not_count() -> None:
    first, second = (replace(claimed(0), claim=name, turn=turn) for name, turn in (("first", 1), ("second", 2)))
    change = asked(ChangeRoute("wine", plain_plan("tree", 1)))
    late = CutsPromised("w1", 2, "first", "g", (PartitionOffset("t", 0, 3),))

    catalogue = folded(announced(), second, change, asked(ProposeChange(2, (Lane("g", "t", 0),))), first, late)

    owner, found = catalogue.lanes[Lane("g", "t", 0)], catalogue.changes.get(2)
    assert (owner.claim, owner.turn) == ("second", 2)
    assert found is not None
    assert found.state is ChangeState.PROPOSED


def test_claims_without_turns_follow_the_log() -> None:
    catalogue = folded(replace(claimed(0), turn=3), replace(claimed(0), claim="later"))

    assert (catalogue.lanes[Lane("g", "t", 0)].claim, catalogue.lanes[Lane("g", "t", 0)].turn) == ("later", 3)


def test_a_lane_that_was_claimed_before_and_is_not_named_need_not_promise() -> None:
    change = asked(ChangeRoute("wine", plain_plan("tree", 1)))

    catalogue = folded(announced(), claimed(0), change, asked(ProposeChange(2, ())))

    found = catalogue.changes.get(2)
    assert found is not None
    assert found.state is ChangeState.COMMITTED


def test_a_pin_for_no_entity_is_refused() -> None:
    pinned = replace(plain_plan("tree", 1), pins=Map({"": "primary"}))

    assert outcome(folded(announced(), asked(ChangeRoute("wine", pinned)))).problem == "invalid"


@pytest.mark.parametrize("seconds", [-1.0, math.nan, math.inf])
def test_a_step_that_never_ends_baking_is_refused(seconds: float) -> None:
    start = StartRollout("wine", Target("forest", 1), (Step(WHOLE, seconds),))

    catalogue = folded(announced(), announced("forest", "other"), asked(start))

    assert outcome(catalogue).problem == "invalid"


def test_a_change_that_is_under_way_outlives_any_number_of_newer_ones() -> None:
    small = replace(EMPTY, changes=BoundedMap(2))
    change = asked(ChangeRoute("wine", plain_plan("tree", 1)))
    log: list[ControlRecord] = [announced(), change, *[announced("a", "b")] * 5]

    catalogue = fold_all(small, [LogEntry(offset, 0, record) for offset, record in enumerate(log)])

    assert catalogue.open_change(catalogue.routes["wine"]) is not None
    assert len(catalogue.changes) == 2


def test_references_of_a_registration_and_its_change_share_its_offset() -> None:
    body = RegisterVersion(announced().descriptor, Map({"run_id": "7"}), "exact")

    catalogue = folded(asked(body))

    assert outcome(catalogue).version == 0
    assert catalogue.versions[0].references == Map({"run_id": "7"})
    assert catalogue.open_changes == {0}


def test_folding_costs_the_same_per_record_however_long_the_log_is() -> None:
    records = [announced(f"m{number % 500}", f"d{number % 50}", f"r{number}") for number in range(10_000)]
    entries = [LogEntry(offset, 0, record) for offset, record in enumerate(records)]
    seconds: list[float] = []
    catalogue = EMPTY
    for start in range(0, len(entries), 1_000):
        begin = time.process_time()
        for entry in entries[start : start + 1_000]:
            catalogue = fold(catalogue, entry)
        seconds.append(time.process_time() - begin)

    # A fold whose step copied the catalogue would take nineteen times as long in the last part as in the first.
    assert min(seconds[-3:]) < 5 * max(seconds[:3])
