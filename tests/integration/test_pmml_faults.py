"""The PMML child may die, hang or fill up; no row is lost, and what is to blame is named."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from patience import patient, until

from serving.core.columns import Features, TextColumn
from serving.core.errors import EngineUnavailableError, ModelLimitError, ModelRefusedError, ScoringError, SignatureError
from serving.scorers.base import Artifact, LoadLimits
from serving.scorers.fast.scorer import FastScorer
from serving.scorers.pmml.engine import PmmlEngine
from serving.scorers.pmml.frames import Frame, Kind
from serving.scorers.pmml.process import Channel, ChildOptions
from serving.scorers.pmml.scorer import PmmlScorer
from tests.oracle import pmml_documents as documents
from tests.oracle.pmml_records import differences, features_of, records

HANGING = documents.document(
    documents.field("y") + documents.field("text", "string") + documents.field("x0"),
    f'<RegressionModel functionName="regression">{documents.schema(("text", "x0"))}'
    '<LocalTransformations><DerivedField name="d" optype="categorical" dataType="string">'
    '<Apply function="replace"><FieldRef field="text"/><Constant dataType="string">(a+)+\\1b</Constant>'
    '<Constant dataType="string">c</Constant></Apply></DerivedField></LocalTransformations>'
    '<RegressionTable intercept="1"><NumericPredictor name="x0" coefficient="2"/>'
    '<CategoricalPredictor name="d" value="q" coefficient="10"/></RegressionTable></RegressionModel>',
)
"""A regular expression that takes exponential time for some texts: a record can hang it."""


@pytest.fixture
def engine() -> Iterator[PmmlEngine]:
    engine = PmmlEngine()
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def lasting_engine() -> Iterator[PmmlEngine]:
    """For tests that leave the child as they found it."""
    engine = PmmlEngine()
    yield engine
    engine.close()


def stop(pid: int) -> None:
    """Stop a process, all of it: a signal stops its threads one by one, and the last may still answer a request."""
    os.kill(pid, signal.SIGSTOP)
    until(lambda: states(pid) == {"T"}, what="all threads to have stopped")


def states(pid: int) -> set[str]:
    """Those of its threads, as Linux says them in `/proc/PID/task/*/stat`, behind the name in parentheses."""
    return {stat.read_text().rpartition(")")[2].split()[0] for stat in Path(f"/proc/{pid}/task").glob("*/stat")}


def child(engine: PmmlEngine) -> int:
    pid = engine.supervisor.pid
    assert pid is not None
    return pid


def meanwhile(action: Callable[[], None], until: threading.Event) -> threading.Thread:
    """Do `action` over and over, on another thread, until told to stop."""

    def run() -> None:
        while not until.wait(0.005):
            action()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_a_killed_child_costs_no_row_and_no_model(engine: PmmlEngine) -> None:
    sources = [documents.forest(1), documents.tree(2), documents.mixed_tree()]
    scorers = [engine.load(Artifact(source)) for source in sources]
    rows = records(3, 300)

    for kill in (False, True, True):
        if kill:
            os.kill(child(engine), signal.SIGKILL)
        for source, scorer in zip(sources, scorers, strict=True):
            assert differences(source, rows, scorer.score(features_of(scorer.signature, rows))) == []

    assert engine.supervisor.restarts == 2
    assert engine.models.usage()["models"] == 3


def test_a_child_killed_in_the_middle_of_batches_loses_nothing(engine: PmmlEngine) -> None:
    source = documents.forest(4, trees=10)
    scorer = engine.load(Artifact(source))
    features = features_of(scorer.signature, records(4, 2_000))
    expected = scorer.score(features)
    killed: set[int] = set()
    done = threading.Event()

    def kill() -> None:
        pid = engine.supervisor.pid
        if pid is not None and pid not in killed and len(killed) < 2:
            killed.add(pid)
            os.kill(pid, signal.SIGKILL)

    answers = [scorer.score(features)]
    thread = meanwhile(kill, done)
    while len(killed) < 2 or engine.supervisor.restarts < 2:
        answers.append(scorer.score(features))
    done.set()
    thread.join()

    for answer in answers:
        assert answer.failures == {}
        assert np.array_equal(answer.columns["probability"], expected.columns["probability"])


def test_a_stopped_child_is_replaced_within_the_time_for_a_batch(engine: PmmlEngine) -> None:
    source = documents.plain_linear(5)
    scorer = engine.load(Artifact(source, limits=LoadLimits(score_seconds=1.0)))
    rows = records(5, 100)
    stopped = child(engine)
    stop(stopped)

    found = scorer.score(features_of(scorer.signature, rows))

    assert differences(source, rows, found) == []
    assert child(engine) != stopped
    assert not psutil.pid_exists(stopped)


def test_a_record_that_hangs_the_engine_is_named_and_its_neighbours_are_scored(engine: PmmlEngine) -> None:
    scorer = engine.load(Artifact(HANGING, limits=LoadLimits(score_seconds=2.0)))
    texts = TextColumn(np.array([0, 1, 0]), ["short", "a" * 60])

    found = scorer.score(Features(np.array([[0.0], [1.0], [2.0]]), (texts,)))

    assert set(found.failures) == {1}
    assert "no answer within" in found.failures[1]
    assert np.asarray(found.columns["predicted_y"])[[0, 2]].tolist() == [1.0, 5.0]


def test_a_lone_record_that_hangs_the_engine_is_a_failure(engine: PmmlEngine) -> None:
    scorer = engine.load(Artifact(HANGING, limits=LoadLimits(score_seconds=1.0)))

    found = scorer.score(Features(np.ones((1, 1)), (TextColumn(np.zeros(1, np.int64), ["a" * 60]),)))

    assert set(found.failures) == {0}


def test_a_model_that_does_not_fit_is_refused_and_the_others_serve_on() -> None:
    engine = PmmlEngine(ChildOptions(heap_megabytes=16))
    try:
        small = documents.tree(6)
        scorer = engine.load(Artifact(small))
        segments = documents.forest(7, trees=1, depth=8)
        start, end = segments.index(b"<Segment "), segments.index(b"</Segmentation>")
        large = segments[:start] + segments[start:end] * 400 + segments[end:]

        with pytest.raises(ModelLimitError):
            engine.load(Artifact(large, limits=LoadLimits(load_seconds=15)))

        rows = records(6, 50)
        assert differences(small, rows, scorer.score(features_of(scorer.signature, rows))) == []
    finally:
        engine.close()


def test_a_load_that_takes_too_long_is_refused_and_the_others_serve_on(engine: PmmlEngine) -> None:
    small = documents.tree(8)
    scorer = engine.load(Artifact(small))

    with pytest.raises(ModelLimitError, match="not loaded within"):
        engine.load(Artifact(documents.forest(8, trees=20, depth=6), limits=LoadLimits(load_seconds=0.02)))

    rows = records(8, 50)
    assert differences(small, rows, scorer.score(features_of(scorer.signature, rows))) == []


def test_a_refused_model_leaves_nothing_behind(lasting_engine: PmmlEngine) -> None:
    lasting_engine.load(Artifact(documents.tree(9))).close()
    pid, before = child(lasting_engine), lasting_engine.models.usage()["models"]
    broken = [
        documents.tree(9)[:-400],
        b"<!DOCTYPE x>" + documents.tree(9),
        documents.tree(9).replace(b"SimplePredicate", b"UnheardOfPredicate"),
        documents.network(9).replace(b'<NeuralInput id="i0"', b'<NeuralInput id="i9"'),
        documents.plain_linear(9).replace(b'intercept="', b'intercept="x'),
        documents.linear(9).replace(b'coefficient="', b'coefficient="x'),
    ]

    for document in broken:
        with pytest.raises(ModelRefusedError):
            lasting_engine.load(Artifact(document))

    assert (child(lasting_engine), lasting_engine.models.usage()["models"]) == (pid, before)


def test_a_model_whose_verification_rows_disagree_is_refused(lasting_engine: PmmlEngine) -> None:
    def verified(expected: float) -> bytes:
        rows = f"<row><x0>1</x0><x1>2</x1><x2>3</x2><x3>4</x3><y>{expected}</y></row>"
        fields = "".join(f'<VerificationField field="{name}"/>' for name in (*documents.NUMBERS, "y"))
        element = (
            f'<ModelVerification recordCount="1" fieldCount="5"><VerificationFields>{fields}</VerificationFields>'
            f"<InlineTable>{rows}</InlineTable></ModelVerification>"
        )
        table = '<RegressionTable intercept="1"><NumericPredictor name="x3" coefficient="2"/></RegressionTable>'
        return documents.document(
            documents.field("y") + documents.numbers(),
            f'<RegressionModel functionName="regression">{documents.schema()}{table}{element}</RegressionModel>',
        )

    lasting_engine.load(Artifact(verified(9.0))).close()

    with pytest.raises(SignatureError, match=r"row 1, field 'y': the document expects 9\.5, the engine gives 9\.0"):
        lasting_engine.load(Artifact(verified(9.5)))


def test_hundreds_of_loads_leave_no_memory_behind(lasting_engine: PmmlEngine) -> None:
    sources = [documents.tree(10), documents.plain_linear(10), documents.network(10)]

    def load_all(times: int) -> tuple[dict[str, int], int]:
        for _ in range(times):
            for source in sources:
                lasting_engine.load(Artifact(source)).close()
        return lasting_engine.models.usage(), psutil.Process(child(lasting_engine)).memory_info().rss

    load_all(20)
    before, rss_before = load_all(20)

    after, rss_after = load_all(40)

    assert after["models"] == before["models"]
    assert after["heap_bytes"] < before["heap_bytes"] + (4 << 20)
    assert after["classes"] < before["classes"] + 200
    assert rss_after < rss_before + (64 << 20)


def test_what_loads_leave_in_the_heap_is_collected_by_the_child_itself() -> None:
    engine = PmmlEngine(ChildOptions(look_seconds=0.01))
    source = documents.forest(10, trees=20, depth=6)

    def collections_after_loads() -> int:
        for _ in range(10):
            engine.load(Artifact(source)).close()
        return engine.models.usage()["collections"]

    try:
        until(collections_after_loads, 30, what="the child to have collected")
    finally:
        engine.close()


def test_scoring_and_loading_at_once_disturb_neither(lasting_engine: PmmlEngine) -> None:
    source = documents.forest(11)
    scorer = lasting_engine.load(Artifact(source))
    rows = records(11, 100)
    features = features_of(scorer.signature, rows)
    expected = scorer.score(features)
    done = threading.Event()
    loads: list[int] = []

    def load() -> None:
        other = lasting_engine.load(Artifact(documents.tree(len(loads))))
        assert differences(documents.tree(len(loads)), rows, other.score(features)) == []
        other.close()
        loads.append(1)

    thread = meanwhile(load, done)
    while len(loads) < 8 and thread.is_alive():
        found = scorer.score(features)
        assert np.array_equal(found.columns["probability"], expected.columns["probability"])
    done.set()
    thread.join()

    assert len(loads) >= 8


def test_the_child_ignores_an_interrupt_of_its_parents_group(lasting_engine: PmmlEngine) -> None:
    scorer = lasting_engine.load(Artifact(documents.plain_linear(12)))
    pid = child(lasting_engine)

    os.kill(pid, signal.SIGINT)

    assert scorer.score(Features(np.zeros((3, 4)))).failures == {}
    assert child(lasting_engine) == pid
    assert os.getpgid(pid) != os.getpgid(0)


def test_the_child_dies_with_a_parent_that_is_killed() -> None:
    program = (
        "from serving.scorers.pmml.engine import PmmlEngine\n"
        "engine = PmmlEngine(); engine.models.engine\n"
        "print(engine.supervisor.pid, flush=True); input()"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        line = next(line for line in parent.stdout if line.strip().isdigit())
        orphan = psutil.Process(int(line))

        parent.kill()
        parent.wait()

        assert orphan.wait(timeout=10) is None or not orphan.is_running()


def test_a_thread_that_ends_does_not_take_the_child_along(engine: PmmlEngine) -> None:
    scorers = []
    thread = threading.Thread(target=lambda: scorers.append(engine.load(Artifact(documents.plain_linear(13)))))
    thread.start()
    thread.join()

    scorers[0].score(Features(np.zeros((1, 4))))

    assert engine.supervisor.restarts == 0


def test_settings_of_other_java_programs_do_not_reach_the_child(
    engine: PmmlEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Xmx1m -XX:NoSuchOption")
    monkeypatch.setenv("CLASSPATH", "/nowhere")

    engine.load(Artifact(documents.plain_linear(14)))

    assert psutil.Process(child(engine)).environ().get("JAVA_TOOL_OPTIONS") is None


@pytest.fixture
def exact_engine() -> Iterator[PmmlEngine]:
    engine = PmmlEngine(fast="exact")
    yield engine
    engine.close()


def before_comparisons(monkeypatch: pytest.MonkeyPatch, action: Callable[[int], None]) -> None:
    """Do `action` before a child is asked for a comparison, with how often it was asked before."""
    ask, asked = Channel.ask, itertools.count()

    def acting(channel: Channel, kind: Kind, *rest: Any) -> Frame:
        if kind is Kind.COMPARE:
            action(next(asked))
        return ask(channel, kind, *rest)

    monkeypatch.setattr(Channel, "ask", acting)


def test_a_child_that_dies_in_a_comparison_makes_it_again_in_the_next(
    exact_engine: PmmlEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    before_comparisons(monkeypatch, lambda asked: None if asked else os.kill(child(exact_engine), signal.SIGKILL))

    scorer = exact_engine.load(Artifact(documents.plain_linear(4)))

    assert isinstance(scorer, FastScorer), scorer.engine
    assert exact_engine.supervisor.restarts == 1


def test_a_model_whose_comparisons_kill_the_child_is_served_by_the_engine(
    exact_engine: PmmlEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = documents.plain_linear(4)
    before_comparisons(monkeypatch, lambda asked: os.kill(child(exact_engine), signal.SIGKILL))

    scorer = exact_engine.load(Artifact(document))

    assert isinstance(scorer, PmmlScorer)
    assert "not computed in place: the engine failed during the comparison" in scorer.engine
    rows = records(3, 100)
    assert differences(document, rows, scorer.score(features_of(scorer.signature, rows))) == []


def test_neither_batches_nor_checks_wait_for_a_comparison(
    exact_engine: PmmlEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = exact_engine.load(Artifact(documents.clusters(1)))
    assert isinstance(other, PmmlScorer)
    batch, comparing = features_of(other.signature, records(3, 20)), threading.Event()
    before_comparisons(monkeypatch, lambda asked: comparing.set())
    loads = ThreadPoolExecutor(1)
    # Five thousand records through a hundred trees take seconds, twenty through four clusters milliseconds.
    load = loads.submit(exact_engine.load, Artifact(documents.forest(4, (), trees=100)))
    assert comparing.wait(patient(60))

    assert not other.score(batch).failures
    assert not other.try_out(batch).failures

    assert not load.done()
    assert isinstance(load.result(), FastScorer)
    loads.shutdown()


def test_a_child_that_cannot_start_is_the_machines_fault() -> None:
    engine = PmmlEngine(ChildOptions(heap_megabytes=1 << 40))
    try:
        with pytest.raises(EngineUnavailableError):
            engine.load(Artifact(documents.plain_linear(15)))
    finally:
        engine.close()


def test_a_closed_engine_has_no_child_and_says_so(engine: PmmlEngine) -> None:
    scorer = engine.load(Artifact(documents.plain_linear(16)))
    pid = child(engine)

    engine.close()

    assert not psutil.pid_exists(pid)
    with pytest.raises(ScoringError):
        scorer.score(Features(np.zeros((1, 4))))
    scorer.close()
