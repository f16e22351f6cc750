"""Operations of commands: exact changes by phase, immediate ones by what workers say, refusals, rollouts and jobs."""

from __future__ import annotations

from model_store.core.catalogue import EMPTY, Catalogue, LogEntry, fold_all
from model_store.core.commands import (
    EXACT,
    IMMEDIATE,
    AbortChange,
    ChangeRoute,
    Command,
    CommandBody,
    ProposeChange,
    RegisterVersion,
    ReportJob,
    RequestJob,
    SetAlias,
    StartRollout,
    Step,
)
from model_store.core.control_records import (
    Announced,
    ChangeReady,
    ControlRecord,
    CutsPromised,
    ModelReport,
    ModelState,
    PartitionOffset,
    PartitionsClaimed,
    RouteApplied,
    WorkerStarted,
)
from model_store.core.descriptor import Descriptor
from model_store.core.lanes import Lane
from model_store.core.operations import OperationState, OperationView, operation
from model_store.core.plans import Target, plain_plan

V1 = Descriptor("tree", "wine", "PMML", location="/m")
LANES = (Lane("g", "t", 0), Lane("g", "t", 1))
START = (WorkerStarted("w1", "e1", group="g"), WorkerStarted("w2", "e1", group="g"))  # offsets 0, 1
CLAIMS = (
    PartitionsClaimed("w1", "e1", "c1", "g", (PartitionOffset("t", 0, 0),)),
    PartitionsClaimed("w2", "e1", "c2", "g", (PartitionOffset("t", 1, 0),)),
)  # offsets 2, 3
BOTH = {"w1", "w2"}


def ask(body: CommandBody, reason: str = "") -> Command:
    return Command("", "ada", reason, body)


def folded(*records: ControlRecord) -> Catalogue:
    return fold_all(EMPTY, [LogEntry(offset, 1000 + offset, record) for offset, record in enumerate(records)])


def viewed(offset: int, *records: ControlRecord) -> OperationView:
    view = operation(folded(*START, *CLAIMS, *records), offset, BOTH)
    assert view is not None
    return view


def said(view: OperationView) -> tuple[OperationState, str]:
    return view.state, view.reason


PUBLISH = ask(RegisterVersion(V1, mode=EXACT))
"""At offset 4."""
READY = (ChangeReady("w1", "e1", 4), ChangeReady("w2", "e1", 4))
PROPOSE = ask(ProposeChange(4, LANES))
CUTS = (
    CutsPromised("w1", 4, "c1", "g", (PartitionOffset("t", 0, 70),)),
    CutsPromised("w2", 4, "c2", "g", (PartitionOffset("t", 1, 80),)),
)


def test_an_exact_change_waits_for_workers_then_for_promises_and_is_done_at_its_cuts() -> None:
    prepared = viewed(4, PUBLISH, READY[0])
    all_ready = viewed(4, PUBLISH, *READY)
    proposed = viewed(4, PUBLISH, *READY, PROPOSE, CUTS[0])
    done = viewed(4, PUBLISH, *READY, PROPOSE, *CUTS)

    assert said(prepared) == (OperationState.RUNNING, "waits for w2 to load")
    assert (prepared.done, prepared.total) == (1, 2)
    assert said(all_ready) == (OperationState.RUNNING, "all workers are ready; waits to be proposed")
    assert said(proposed) == (OperationState.RUNNING, "waits for promises of t/1 (w2)")
    assert (proposed.done, proposed.total) == (1, 2)
    assert said(done) == (OperationState.SUCCEEDED, "exact at 2 partitions")
    assert done.cuts == {LANES[0]: 70, LANES[1]: 80}
    assert (done.kind, done.version and done.version.version) == ("publish", 1)


def test_a_worker_that_was_ready_and_started_again_is_waited_for() -> None:
    view = viewed(4, PUBLISH, *READY, WorkerStarted("w1", "e2", group="g"))

    assert view.reason == "waits for w1 to load"


def test_a_lane_that_moves_is_awaited_of_its_new_owner() -> None:
    moved = PartitionsClaimed("w1", "e1", "c3", "g", (PartitionOffset("t", 1, 0),))

    assert viewed(4, PUBLISH, *READY, PROPOSE, moved).reason == "waits for promises of t/0 (w1), t/1 (w1)"


def test_an_aborted_change_has_failed_for_good_with_its_reason() -> None:
    view = viewed(4, PUBLISH, ask(AbortChange(4), "the deadline passed"), *READY, PROPOSE, *CUTS)

    assert said(view) == (OperationState.FAILED, "the deadline passed")


def test_an_immediate_change_waits_for_the_word_of_each_worker_that_came_after_it() -> None:
    registered = ask(RegisterVersion(V1))  # offset 4
    old_word = ModelReport("w1", "e1", 4, "tree", 1, "wine", ModelState.LIVE)  # offset 5: of an earlier time
    change = ask(ChangeRoute("wine", plain_plan("tree", 1), IMMEDIATE))  # offset 6
    applied = RouteApplied("w1", 6, "wine", "c1", "g", (PartitionOffset("t", 0, 9),))
    report = ModelReport("w2", "e1", 4, "tree", 1, "wine", ModelState.LIVE)

    before = viewed(6, registered, old_word, change)
    half = viewed(6, registered, old_word, change, applied)
    done = viewed(6, registered, old_word, change, applied, report)

    assert before.reason == "worker w1 has not answered yet; worker w2 has not answered yet"
    assert said(half) == (OperationState.RUNNING, "worker w2 has not answered yet")
    assert (done.state, done.kind, done.cuts) == (OperationState.SUCCEEDED, "change", {LANES[0]: 9})


def test_a_route_that_is_taken_away_at_once_waits_for_nobody() -> None:
    view = viewed(5, Announced(V1), ask(ChangeRoute("wine", None, IMMEDIATE)))

    assert said(view) == (OperationState.SUCCEEDED, "the route serves nothing")


def test_a_version_that_is_only_registered_is_done_at_once() -> None:
    assert said(viewed(4, ask(RegisterVersion(V1)))) == (OperationState.SUCCEEDED, "registered")


def test_a_refused_command_is_an_operation_that_failed_and_another_one_that_succeeded() -> None:
    refused = viewed(4, ask(SetAlias("tree", "champion", 1)))
    accepted = viewed(5, Announced(V1), ask(SetAlias("tree", "champion", 1)))

    assert (refused.state, refused.kind) == (OperationState.FAILED, "command")
    assert "tree" in refused.reason
    assert (accepted.state, accepted.kind) == (OperationState.SUCCEEDED, "command")


def test_a_retry_is_the_operation_of_the_first() -> None:
    first = Command("id-1", "ada", "", RegisterVersion(V1))

    assert viewed(5, first, first).control_offset == 4


def test_a_rollout_and_a_job_are_operations() -> None:
    second = Descriptor("tree", "wine", "PMML", location="/m2")
    rollout = ask(StartRollout("wine", Target("tree", 2), (Step(10_000),)), "try it")
    records = (Announced(V1), ask(RegisterVersion(second)), rollout, ask(RequestJob("backtest", "{}", "tree", 2)))

    moving = viewed(6, *records)
    queued = viewed(7, *records)
    failed = viewed(7, *records, ask(ReportJob(7, "failed")))

    assert (moving.kind, *said(moving)) == ("rollout", OperationState.RUNNING, "step 0 of 1, running: try it")
    assert (queued.kind, *said(queued)) == ("backtest", OperationState.RUNNING, "waits for a worker to take it")
    assert failed.state is OperationState.FAILED
