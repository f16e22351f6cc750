from model_store.core.catalogue import EMPTY, Catalogue, LogEntry, fold_all
from model_store.core.control_records import (
    Announced,
    ControlRecord,
    Invalid,
    ModelReport,
    ModelState,
    WorkerStarted,
)
from model_store.core.descriptor import Descriptor
from model_store.core.operations import OperationState, OperationView, Progress, operation

W1, W2 = WorkerStarted("w1", "e1"), WorkerStarted("w2", "e1")
MODEL = Announced(Descriptor("tree", "wine", "PMML", location="/m"))


def report(worker: str, offset: int, state: ModelState, reason: str = "", epoch: str = "e1") -> ModelReport:
    return ModelReport(worker, epoch, offset, "tree", 1, "wine", state, reason)


def folded(*records: ControlRecord) -> Catalogue:
    return fold_all(EMPTY, [LogEntry(offset, 0, record) for offset, record in enumerate(records)])


def viewed(offset: int, live: set[str], *records: ControlRecord) -> OperationView:
    view = operation(folded(*records), offset, live)
    assert view is not None
    return view


def progress(view: OperationView) -> dict[str, Progress]:
    return {worker.worker: worker.progress for worker in view.workers}


def test_it_is_done_when_each_live_worker_has_said_its_final_word() -> None:
    records = (W1, W2, MODEL, report("w1", 2, ModelState.LIVE))

    running = viewed(2, {"w1", "w2"}, *records)
    done = viewed(2, {"w1", "w2"}, *records, report("w2", 2, ModelState.ELSEWHERE))

    assert (running.state, running.reason) == (OperationState.RUNNING, "worker w2 has not answered yet")
    assert progress(running) == {"w1": Progress.LIVE, "w2": Progress.PENDING}
    assert (done.state, done.reason) == (OperationState.SUCCEEDED, "")


def test_one_refusal_fails_it_with_the_reason_even_while_others_wait() -> None:
    view = viewed(2, {"w1", "w2"}, W1, W2, MODEL, report("w2", 2, ModelState.REFUSED, "truncated"))

    assert (view.state, view.reason) == (OperationState.FAILED, "worker w2: truncated")


def test_a_worker_that_tries_again_keeps_it_running_and_says_why() -> None:
    view = viewed(1, {"w1"}, W1, MODEL, report("w1", 1, ModelState.RETRYING, "host answered 503"))

    assert (view.state, view.reason) == (OperationState.RUNNING, "worker w1 tries again: host answered 503")


def test_without_a_live_worker_it_runs_and_says_so() -> None:
    view = viewed(1, set(), W1, MODEL)

    assert view.state is OperationState.RUNNING
    assert "no worker lives" in view.reason


def test_a_worker_that_died_before_it_answered_is_not_waited_for() -> None:
    view = viewed(2, {"w1"}, W1, W2, MODEL, report("w1", 2, ModelState.LIVE))

    assert view.state is OperationState.SUCCEEDED


def test_the_only_worker_there_is_counts_even_if_it_joined_later() -> None:
    assert viewed(0, {"w1"}, MODEL, W1).state is OperationState.RUNNING
    assert viewed(0, {"w1"}, MODEL, W1, report("w1", 0, ModelState.LIVE)).state is OperationState.SUCCEEDED


def test_a_worker_that_joins_after_it_was_done_does_not_undo_it() -> None:
    view = viewed(1, {"w1", "w2"}, W1, MODEL, report("w1", 1, ModelState.LIVE), W2)

    assert view.state is OperationState.SUCCEEDED
    assert progress(view)["w2"] is Progress.PENDING
    assert [worker.counts for worker in view.workers] == [True, False]


def test_a_worker_that_restarts_meanwhile_is_still_waited_for() -> None:
    view = viewed(1, {"w1"}, W1, MODEL, WorkerStarted("w1", "e2"))

    assert view.state is OperationState.RUNNING


def test_what_was_done_stays_done_when_all_workers_are_gone() -> None:
    view = viewed(1, set(), W1, MODEL, report("w1", 1, ModelState.LIVE))

    assert view.state is OperationState.SUCCEEDED


def test_a_worker_that_went_on_to_a_newer_version_has_nothing_more_to_say() -> None:
    records = (W1, MODEL, MODEL, report("w1", 2, ModelState.LIVE))

    assert progress(viewed(1, {"w1"}, *records)) == {"w1": Progress.SUPERSEDED}
    assert viewed(1, {"w1"}, *records).state is OperationState.SUCCEEDED


def test_a_refusal_of_the_newer_version_does_not_answer_for_the_older_one() -> None:
    view = viewed(1, {"w1"}, W1, MODEL, MODEL, report("w1", 2, ModelState.REFUSED, "bad"))

    assert view.state is OperationState.RUNNING


def test_a_rejected_announcement_has_failed_with_its_reason() -> None:
    view = viewed(0, {"w1"}, Invalid("declared PMML, but ..."), W1)

    assert (view.state, view.reason, view.version) == (OperationState.FAILED, "declared PMML, but ...", None)


def test_a_retry_answers_for_the_first_request() -> None:
    again = Announced(Descriptor("tree", "wine", "PMML", location="/m", request_id="r"))
    view = viewed(2, {"w1"}, W1, again, again, report("w1", 1, ModelState.LIVE))

    assert (view.state, view.control_offset) == (OperationState.SUCCEEDED, 1)


def test_a_member_of_the_group_that_has_not_announced_itself_is_pending() -> None:
    assert progress(viewed(0, {"ghost"}, MODEL)) == {"ghost": Progress.PENDING}


def test_where_nothing_was_announced_there_is_no_operation() -> None:
    assert operation(folded(W1, MODEL), 0, {"w1"}) is None
    assert operation(folded(W1, MODEL), 99, {"w1"}) is None
