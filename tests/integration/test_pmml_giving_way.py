"""The PMML child gives way as long as no record waits for it; then another takes its place, and nobody notices."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from patience import patient, until

from serving.core.errors import EngineUnavailableError, ScoringError
from serving.scorers.base import Artifact, LoadLimits
from serving.scorers.fast.scorer import FastScorer
from serving.scorers.pmml import served, supervisor
from serving.scorers.pmml.engine import PmmlEngine
from serving.scorers.pmml.frames import Frame, Kind
from serving.scorers.pmml.process import Channel, Child
from serving.scorers.pmml.scorer import PmmlScorer
from serving.scorers.registry import EngineRegistry
from tests.oracle import pmml_documents as documents
from tests.oracle.pmml_records import differences, features_of, records

FLAT = documents.plain_linear(4)
NOT_FLAT = documents.clusters(1)
GIVES_WAY, TAKES_ITS_SHARE = {os.SCHED_IDLE}, {os.SCHED_OTHER}


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    # On a busy machine the child may get no core for seconds, and would be replaced for that.
    monkeypatch.setattr(served, "_PATIENCE_SECONDS", patient(60))


@pytest.fixture
def engine() -> Iterator[PmmlEngine]:
    engine = PmmlEngine(fast="exact")
    yield engine
    engine.close()


def child(engine: PmmlEngine) -> int:
    pid = engine.supervisor.pid
    assert pid is not None
    return pid


def policies(engine: PmmlEngine) -> set[int]:
    """Of all threads of the child, but for those that end meanwhile."""
    found = set()
    for task in Path(f"/proc/{child(engine)}/task").iterdir():
        with contextlib.suppress(ProcessLookupError):
            found.add(os.sched_getscheduler(int(task.name)))
    return found


def answers_rightly(document: bytes, scorer: FastScorer | PmmlScorer) -> bool:
    rows = records(7, 100)
    return differences(document, rows, scorer.score(features_of(scorer.signature, rows))) == []


def flat_model(engine: PmmlEngine, document: bytes = FLAT) -> FastScorer:
    scorer = engine.load(Artifact(document))
    assert isinstance(scorer, FastScorer), scorer.engine
    return scorer


def on_asking(monkeypatch: pytest.MonkeyPatch, kind: Kind, action: Callable[[], None]) -> None:
    """Do `action` before the first request of a kind."""
    ask, actions = Channel.ask, [action]

    def acting(channel: Channel, asked: Kind, *rest: Any) -> Frame:
        if asked is kind and actions:
            actions.pop()()
        return ask(channel, asked, *rest)

    monkeypatch.setattr(Channel, "ask", acting)


@contextlib.contextmanager
def no_child(monkeypatch: pytest.MonkeyPatch, error: Exception) -> Iterator[None]:
    """None can be started meanwhile."""

    def fail(*_: Any) -> Child:
        raise error

    with monkeypatch.context() as broken:
        broken.setattr(supervisor, "start_child", fail)
        yield


def test_a_child_that_no_record_waits_for_gives_way_with_all_its_threads(engine: PmmlEngine) -> None:
    for document in (FLAT, documents.tree(3)):
        assert answers_rightly(document, flat_model(engine, document))

    assert policies(engine) == GIVES_WAY


def test_a_child_takes_its_share_until_records_flow() -> None:
    registry = EngineRegistry({"PMML": {"fast": "exact"}}, records_flow=False)
    engine = registry.engine_for("PMML")
    assert isinstance(engine, PmmlEngine)
    scorer = flat_model(engine)
    first = child(engine)
    assert policies(engine) == TAKES_ITS_SHARE

    registry.records_flow()

    assert policies(engine) == GIVES_WAY
    assert answers_rightly(FLAT, scorer)
    flat_model(engine, documents.tree(3))
    assert (child(engine), policies(engine)) == (first, GIVES_WAY)
    registry.close()


def test_a_child_that_dies_when_records_begin_to_flow_has_a_successor_that_gives_way(
    engine: PmmlEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.records_flow(False)
    flat_model(engine)
    first = child(engine)
    on_asking(monkeypatch, Kind.GIVE_WAY, lambda: os.kill(first, signal.SIGKILL))

    engine.records_flow(True)

    scorer = flat_model(engine, documents.tree(3))
    assert answers_rightly(documents.tree(3), scorer)
    assert (child(engine) != first, policies(engine), engine.supervisor.restarts) == (True, GIVES_WAY, 1)


def test_a_child_that_records_wait_for_does_not_give_way_when_they_begin_to_flow(engine: PmmlEngine) -> None:
    engine.records_flow(False)
    engine.load(Artifact(NOT_FLAT))
    first = child(engine)

    engine.records_flow(True)

    assert (child(engine), policies(engine)) == (first, TAKES_ITS_SHARE)


def test_without_the_fast_tier_a_child_takes_its_share_from_the_start() -> None:
    engine = PmmlEngine()
    try:
        engine.load(Artifact(FLAT))
        assert policies(engine) == TAKES_ITS_SHARE
    finally:
        engine.close()


def test_a_model_that_the_engine_scores_has_a_child_that_takes_its_share(engine: PmmlEngine) -> None:
    before = flat_model(engine)
    giving_way = child(engine)

    scorer = engine.load(Artifact(NOT_FLAT))

    assert isinstance(scorer, PmmlScorer)
    assert policies(engine) == TAKES_ITS_SHARE
    assert not psutil.pid_exists(giving_way)
    assert answers_rightly(NOT_FLAT, scorer)
    assert answers_rightly(FLAT, before.reference)
    assert answers_rightly(FLAT, flat_model(engine))
    assert (engine.models.usage()["models"], engine.supervisor.restarts) == (3, 0)


def test_a_record_that_only_the_engine_can_decide_is_answered_at_once_and_the_child_replaced(
    engine: PmmlEngine,
) -> None:
    scorer = flat_model(engine)

    assert answers_rightly(FLAT, scorer.reference)

    until(lambda: policies(engine) == TAKES_ITS_SHARE, what="a child that takes its share")
    assert answers_rightly(FLAT, scorer.reference)
    assert engine.supervisor.restarts == 0


def test_batches_that_are_with_the_child_when_it_is_replaced_are_answered_by_its_successor(engine: PmmlEngine) -> None:
    document = documents.forest(4, (), trees=9)
    scorer = flat_model(engine, document)
    features = features_of(scorer.signature, records(4, 2_000))
    expected = scorer.score(features).columns["predicted_y"]
    done = threading.Event()

    def score() -> int:
        batches = 0
        while not done.is_set() or not batches:
            found = scorer.reference.score(features)
            assert not found.failures
            assert np.array_equal(found.columns["predicted_y"], expected)
            batches += 1
        return batches

    with ThreadPoolExecutor(1) as threads:
        scoring = threads.submit(score)
        try:
            until(lambda: policies(engine) == TAKES_ITS_SHARE, what="a child that takes its share")
        finally:
            done.set()
        assert scoring.result() >= 1
    assert engine.supervisor.restarts == 0


def test_a_comparison_that_the_child_is_replaced_under_is_made_by_its_successor(
    engine: PmmlEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_asking(monkeypatch, Kind.COMPARE, lambda: engine.supervisor.hurry("for a test"))

    flat_model(engine)

    assert policies(engine) == TAKES_ITS_SHARE
    assert engine.supervisor.restarts == 0


def test_a_load_that_the_child_is_replaced_under_is_made_by_its_successor(
    engine: PmmlEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep, hurried = supervisor.Supervisor.keep, []

    def keep_late(self: supervisor.Supervisor, *arguments: Any) -> bool:
        if not hurried:
            hurried.append(True)
            engine.supervisor.hurry("for a test")
        return keep(self, *arguments)

    monkeypatch.setattr(supervisor.Supervisor, "keep", keep_late)

    scorer = flat_model(engine)

    assert answers_rightly(FLAT, scorer.reference)
    assert engine.models.usage()["models"] == 1


@pytest.mark.parametrize("kind", [Kind.LOAD, Kind.SCORE, Kind.COMPARE])
def test_a_child_that_gets_no_core_is_replaced_and_no_model_refused_for_it(
    engine: PmmlEngine, monkeypatch: pytest.MonkeyPatch, kind: Kind
) -> None:
    first = flat_model(engine)
    starved = child(engine)
    ask, stopped = Channel.ask, []

    def stopping(channel: Channel, asked: Kind, *rest: Any) -> Frame:
        if asked is not kind or stopped:
            return ask(channel, asked, *rest)
        stopped.append(rest[-1])
        os.kill(starved, signal.SIGSTOP)
        return ask(channel, asked, *rest[:-1], 0.2)

    monkeypatch.setattr(Channel, "ask", stopping)
    unlimited = LoadLimits(load_seconds=100_000, score_seconds=100_000)

    second = engine.load(Artifact(documents.tree(3), limits=unlimited))

    assert stopped == [served._PATIENCE_SECONDS]

    assert isinstance(second, FastScorer), second.engine
    assert answers_rightly(documents.tree(3), second)
    assert answers_rightly(FLAT, first)
    assert policies(engine) == TAKES_ITS_SHARE
    assert not psutil.pid_exists(starved)
    assert (engine.models.usage()["models"], engine.supervisor.restarts) == (2, 0)


def test_a_sample_that_waits_for_a_comparison_that_gets_no_core_has_its_own_answer(
    engine: PmmlEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    scorer, rows = flat_model(engine), records(7, 100)
    assert isinstance(scorer.reference, PmmlScorer)
    starved = child(engine)
    ask, hurry = Channel.ask, engine.supervisor.hurry
    stopped, answered = threading.Event(), threading.Event()

    def stopping(channel: Channel, asked: Kind, *rest: Any) -> Frame:
        if asked is Kind.COMPARE and not stopped.is_set():
            os.kill(starved, signal.SIGSTOP)
            stopped.set()
            return ask(channel, asked, *rest[:-1], 0.5)
        try:
            return ask(channel, asked, *rest)
        finally:
            if asked is Kind.SCORE and stopped.is_set():
                answered.set()

    def hurrying(why: str) -> None:
        os.kill(starved, signal.SIGCONT)  # it answers now, too late
        assert answered.wait(patient(30))
        hurry(why)

    monkeypatch.setattr(Channel, "ask", stopping)
    monkeypatch.setattr(engine.supervisor, "hurry", hurrying)
    with ThreadPoolExecutor(1) as pool:
        compared = pool.submit(flat_model, engine, documents.tree(3))
        assert stopped.wait(patient(30))
        sampled = scorer.reference.sample(features_of(scorer.signature, rows))

        assert answers_rightly(documents.tree(3), compared.result())
    assert differences(FLAT, rows, sampled) == []
    assert (engine.models.usage()["models"], engine.supervisor.restarts) == (2, 0)


def test_a_sample_is_no_reason_to_replace_a_child_that_is_slow(
    engine: PmmlEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    scorer = flat_model(engine)
    reference = scorer.reference
    assert isinstance(reference, PmmlScorer)
    slow = child(engine)
    monkeypatch.setattr(served, "_PATIENCE_SECONDS", 0.0)
    rows = records(7, 100)

    assert differences(FLAT, rows, reference.sample(features_of(scorer.signature, rows))) == []

    assert child(engine) == slow
    assert policies(engine) == GIVES_WAY


def test_a_sample_that_gets_no_core_at_all_is_scored_by_a_successor(engine: PmmlEngine) -> None:
    scorer = engine.load(Artifact(FLAT, limits=LoadLimits(score_seconds=3.0)))
    assert isinstance(scorer, FastScorer)
    reference = scorer.reference
    assert isinstance(reference, PmmlScorer)
    starved = child(engine)
    os.kill(starved, signal.SIGSTOP)
    rows = records(7, 100)

    assert differences(FLAT, rows, reference.sample(features_of(scorer.signature, rows))) == []

    assert not psutil.pid_exists(starved)
    assert engine.supervisor.restarts == 0


def test_the_successor_of_a_child_that_died_gives_way_as_well(engine: PmmlEngine) -> None:
    scorer = flat_model(engine)
    killed = child(engine)

    os.kill(killed, signal.SIGKILL)

    assert answers_rightly(documents.tree(3), flat_model(engine, documents.tree(3)))
    assert answers_rightly(FLAT, scorer)
    assert child(engine) != killed
    assert policies(engine) == GIVES_WAY


@pytest.mark.parametrize("error", [EngineUnavailableError("no memory"), RuntimeError("no thread")])
def test_where_the_successor_cannot_start_whatever_the_reason_the_next_request_starts_one(
    engine: PmmlEngine, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    scorer = flat_model(engine)
    with no_child(monkeypatch, error), pytest.raises(type(error), match=str(error)):
        engine.supervisor.hurry("for a test")

    assert answers_rightly(FLAT, scorer.reference)
    assert policies(engine) == TAKES_ITS_SHARE


def test_where_the_successor_cannot_start_the_record_fails_and_the_next_is_tried(
    engine: PmmlEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    scorer = flat_model(engine)
    with no_child(monkeypatch, EngineUnavailableError("no memory")):
        with pytest.raises(EngineUnavailableError, match="no memory"):
            engine.supervisor.hurry("for a test")
        with pytest.raises(ScoringError, match="no memory"):
            scorer.reference.score(features_of(scorer.signature, records(1, 3)))

    assert answers_rightly(FLAT, scorer.reference)
    assert policies(engine) == TAKES_ITS_SHARE
