"""What every engine promises. An engine of yours passes when it is added to `CANDIDATES` with a model that it takes."""

from __future__ import annotations

import gc
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from patience import until
from tensorflow_models import case

from model_store.core.signature import FeatureSlot, Signature, TensorSpec
from serving.core.columns import Features, Predictions, TextColumn
from serving.core.errors import DamagedModelError, ModelRefusedError, ScoringError, ServingError
from serving.scorers.base import Artifact, Engine, Scorer
from serving.scorers.pmml.engine import PmmlEngine
from serving.scorers.tensorflow.engine import FrozenGraphEngine, SavedModelEngine


class LineEngine:
    """A third party's engine, as small as they get: JSON `{"slope": 2.0, "names": ["low", "high"]}`."""

    def load(self, artifact: Artifact) -> LineScorer:
        try:
            model = json.loads(artifact.payload)
            return LineScorer(float(model["slope"]), [str(name) for name in model["names"]])
        except (ValueError, KeyError, TypeError) as error:
            raise DamagedModelError(f"not a line: {error}") from error

    def close(self) -> None:
        pass


class LineScorer:
    engine = "line 1"
    runs_elsewhere = False

    def __init__(self, slope: float, names: list[str]) -> None:
        self._slope, self._names = slope, names
        self._is_closed = False
        self.signature = Signature(
            inputs=(TensorSpec("x", "float64"), TensorSpec("kind", "string", categories=("plain", "double"))),
            outputs=(TensorSpec("y", "float64"), TensorSpec("label", "string", categories=tuple(names))),
            slots=(FeatureSlot("x"), FeatureSlot("kind", is_text=True)),
        )

    def score(self, features: Features) -> Predictions:
        if self._is_closed:
            raise ScoringError("closed")
        kind = features.texts[0]
        factors = np.array([{"plain": 1.0, "double": 2.0}.get(value, np.nan) for value in kind.values] + [np.nan])
        y = features.matrix[:, 0] * self._slope * factors[kind.codes]
        codes = np.where(np.isnan(y), -1, y > 0).astype(np.int64)
        failures = {int(row): "no such kind" for row in np.flatnonzero(np.isnan(factors[kind.codes]))}
        return Predictions({"y": y, "label": TextColumn(codes, self._names)}, failures)

    def close(self) -> None:
        self._is_closed = True


PMML_DOCUMENT = b"""<?xml version="1.0"?>
<PMML version="4.3" xmlns="http://www.dmg.org/PMML-4_3">
  <Header/>
  <DataDictionary numberOfFields="3">
    <DataField name="age" optype="continuous" dataType="double"/>
    <DataField name="weight" optype="continuous" dataType="double"/>
    <DataField name="risk" optype="continuous" dataType="double"/>
  </DataDictionary>
  <RegressionModel functionName="regression">
    <MiningSchema>
      <MiningField name="age"/><MiningField name="weight"/><MiningField name="risk" usageType="target"/>
    </MiningSchema>
    <RegressionTable intercept="0.5">
      <NumericPredictor name="age" coefficient="0.25"/><NumericPredictor name="weight" coefficient="-1.5"/>
    </RegressionTable>
  </RegressionModel>
</PMML>"""


@dataclass(frozen=True)
class Candidate:
    engine: Callable[[], Engine]
    artifact: Callable[[], Artifact]


CANDIDATES = {
    "tensorflow frozen": Candidate(FrozenGraphEngine, lambda: Artifact(case("wine").frozen)),
    "tensorflow frozen, several inputs": Candidate(FrozenGraphEngine, lambda: Artifact(case("named_scalars").frozen)),
    "tensorflow frozen, texts": Candidate(FrozenGraphEngine, lambda: Artifact(case("texts").frozen)),
    "tensorflow frozen, loop": Candidate(FrozenGraphEngine, lambda: Artifact(case("second_loop").frozen)),
    "tensorflow saved": Candidate(
        SavedModelEngine, lambda: Artifact(b"", directory=case("resource_variables").saved_model)
    ),
    "tensorflow saved, heavy": Candidate(
        SavedModelEngine, lambda: Artifact(b"", directory=case("keras_lstm").saved_model)
    ),
    "pmml": Candidate(PmmlEngine, lambda: Artifact(PMML_DOCUMENT)),
    "pmml, fast": Candidate(lambda: PmmlEngine(fast="tolerant"), lambda: Artifact(PMML_DOCUMENT)),
    "third party": Candidate(LineEngine, lambda: Artifact(b'{"slope": 2.0, "names": ["low", "high"]}')),
}


@pytest.fixture(scope="module", params=CANDIDATES, ids=str)
def candidate(request: pytest.FixtureRequest) -> Candidate:
    return CANDIDATES[request.param]


@pytest.fixture(scope="module")
def engine(candidate: Candidate) -> Iterator[Engine]:
    made = candidate.engine()
    yield made
    made.close()


@pytest.fixture(scope="module")
def scorer(engine: Engine, candidate: Candidate) -> Iterator[Scorer]:
    loaded = engine.load(candidate.artifact())
    yield loaded
    loaded.close()


def features(signature: Signature, rows: int, seed: int = 1) -> Features:
    """Ordinary features: whole numbers from 0 to 9, texts among the categories or a few words."""
    source = np.random.default_rng(seed)
    numbers = sum(not slot.is_text for slot in signature.slots)
    words = {spec.name: spec.categories for spec in signature.inputs}
    texts = []
    for slot in signature.slots:
        if slot.is_text:
            values = list(words.get(slot.name or "", ())) or ["red", "white"]
            texts.append(TextColumn(source.integers(0, len(values), rows), values))
    return Features(source.integers(0, 10, (rows, numbers)).astype(np.float64), tuple(texts))


def values(column: Any) -> list[Any]:
    """A column row by row, comparable bit by bit."""
    if isinstance(column, TextColumn):
        return [column.values[code] if code >= 0 else None for code in column.codes]
    return [row.tobytes() for row in np.ascontiguousarray(column)]


def assert_fits(predictions: Predictions, signature: Signature, rows: int) -> None:
    assert list(predictions.columns) == [spec.name for spec in signature.outputs]
    for spec in signature.outputs:
        column = predictions.columns[spec.name]
        if spec.dtype == "string":
            assert isinstance(column, TextColumn)
            assert column.codes.dtype == np.int64
            assert column.codes.shape == (rows,)
            assert ((column.codes >= -1) & (column.codes < len(column.values))).all()
        else:
            assert isinstance(column, np.ndarray)
            assert column.dtype == spec.dtype
            assert column.shape == ((rows,) if spec.shape == () else (rows, int(np.prod(spec.shape))))
    assert all(0 <= row < rows and reason for row, reason in predictions.failures.items())


def test_engines_keep_to_the_protocol(engine, scorer):
    assert isinstance(engine, Engine)
    assert isinstance(scorer.engine, str)
    assert scorer.engine
    assert isinstance(scorer.runs_elsewhere, bool)


def test_the_signature_accounts_for_every_slot(scorer):
    signature = scorer.signature

    assert len({spec.name for spec in signature.outputs}) == len(signature.outputs) > 0
    assert len({spec.name for spec in signature.inputs}) == len(signature.inputs) > 0
    assert len(signature.slots) == sum(int(np.prod(spec.shape)) for spec in signature.inputs)
    assert sum(slot.is_text for slot in signature.slots) == sum(
        int(np.prod(spec.shape)) for spec in signature.inputs if spec.dtype == "string"
    )
    names = [slot.name for slot in signature.slots if slot.name is not None]
    assert len(set(names)) == len(names)
    assert -1 not in [size for spec in (*signature.inputs, *signature.outputs) for size in spec.shape]


@pytest.mark.parametrize("rows", [0, 1, 2, 17, 300])
def test_columns_have_the_types_and_shapes_of_the_signature(scorer, rows):
    predictions = scorer.score(features(scorer.signature, rows))

    assert_fits(predictions, scorer.signature, rows)
    assert not predictions.failures


def test_the_same_batch_gives_the_same_predictions(scorer):
    batch = features(scorer.signature, 50)

    first, second = scorer.score(batch), scorer.score(batch)

    for name, column in first.columns.items():
        assert values(column) == values(second.columns[name])


def test_scoring_leaves_its_input_as_it_was(scorer):
    batch = features(scorer.signature, 20)
    before = batch.matrix.copy(), [text.codes.copy() for text in batch.texts]

    scorer.score(batch)

    assert (batch.matrix == before[0]).all()
    assert all((text.codes == codes).all() for text, codes in zip(batch.texts, before[1], strict=True))


def test_predictions_stay_as_they_are_when_more_is_scored(scorer):
    first = scorer.score(features(scorer.signature, 40))
    kept = {name: values(column) for name, column in first.columns.items()}

    scorer.score(features(scorer.signature, 40, seed=2))

    assert {name: values(column) for name, column in first.columns.items()} == kept


@given(data=st.data())
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_row_does_not_see_its_neighbours(scorer, data):
    batch = features(scorer.signature, 200)
    whole = scorer.score(batch)
    rows = np.array(data.draw(st.lists(st.integers(0, 199), min_size=1, max_size=60)), np.intp)

    part = scorer.score(batch.take(rows))

    for name, column in part.columns.items():
        every = values(whole.columns[name])
        assert values(column) == [every[row] for row in rows]


def test_nan_and_infinity_touch_no_other_row(scorer):
    batch = features(scorer.signature, 30)
    alone = scorer.score(batch)
    rotten = batch.matrix.copy()
    rotten[3], rotten[4], rotten[29] = np.nan, np.inf, -np.inf

    predictions = scorer.score(Features(rotten, batch.texts))

    assert_fits(predictions, scorer.signature, 30)
    assert set(predictions.failures) <= {3, 4, 29}
    clean = [row for row in range(30) if row not in (3, 4, 29)]
    for name, column in predictions.columns.items():
        before, after = values(alone.columns[name]), values(column)
        assert [after[row] for row in clean] == [before[row] for row in clean]


def test_a_missing_or_unknown_text_touches_no_other_row(scorer):
    batch = features(scorer.signature, 10)
    alone = scorer.score(batch)
    texts = []
    for text in batch.texts:
        codes = text.codes.copy()
        codes[2], codes[5] = -1, len(text.values)
        texts.append(TextColumn(codes, [*text.values, "no category of any model"]))

    predictions = scorer.score(Features(batch.matrix, tuple(texts)))

    assert_fits(predictions, scorer.signature, 10)
    assert set(predictions.failures) <= {2, 5}
    for name, column in predictions.columns.items():
        before, after = values(alone.columns[name]), values(column)
        assert all(after[row] == before[row] for row in range(10) if row not in (2, 5))


def test_a_scorer_is_loaded_in_one_thread_used_in_another_and_closed_in_a_third(engine, candidate):
    loaded: list[Scorer] = []
    outcomes: list[Predictions] = []

    in_thread(lambda: loaded.append(engine.load(candidate.artifact())))
    in_thread(lambda: outcomes.append(loaded[0].score(features(loaded[0].signature, 5))))
    in_thread(loaded[0].close)

    assert_fits(outcomes[0], loaded[0].signature, 5)


def test_two_scorers_of_one_model_do_not_share_their_end(engine, candidate):
    first, second = engine.load(candidate.artifact()), engine.load(candidate.artifact())
    batch = features(first.signature, 9)
    before = first.score(batch)

    first.close()
    after = second.score(batch)
    second.close()

    assert first.signature == second.signature
    for name, column in after.columns.items():
        assert values(column) == values(before.columns[name])


def test_closing_twice_is_closing_once_and_scoring_afterwards_is_an_error(engine, candidate):
    scorer = engine.load(candidate.artifact())
    scorer.close()
    scorer.close()

    with pytest.raises(ServingError):
        scorer.score(features(scorer.signature, 3))


@pytest.mark.parametrize(
    "payload", [b"", b"\0", b"garbage", b"<", b"{}", b"PK\x03\x04", bytes(range(256)), b"\xff" * 4096]
)
def test_garbage_is_refused(engine, payload):
    with pytest.raises(ModelRefusedError) as caught:
        engine.load(Artifact(payload))

    assert str(caught.value)


@given(payload=st.binary(max_size=300))
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
def test_random_bytes_are_refused(engine, payload):
    with pytest.raises(ModelRefusedError):
        engine.load(Artifact(payload))


def test_a_refused_model_leaves_the_engine_and_its_scorers_working(engine, scorer):
    batch = features(scorer.signature, 6)
    before = scorer.score(batch)

    with pytest.raises(ModelRefusedError):
        engine.load(Artifact(b"garbage"))

    after = scorer.score(batch)
    for name, column in after.columns.items():
        assert values(column) == values(before.columns[name])


def in_thread(work: Callable[[], object]) -> None:
    failures: list[BaseException] = []

    def guarded() -> None:
        try:
            work()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=guarded)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]


def kinds_alive() -> Counter[type]:
    return Counter(type(each) for each in gc.get_objects())


def test_loads_leave_nothing_that_adds_up_where_the_cycle_collector_does_not_run(engine, candidate):
    """It hardly ever does in a worker (`feed.memory`); what one load leaves is left by the next, as classes are, or is a leak."""

    def load() -> None:
        loaded = engine.load(candidate.artifact())
        loaded.score(features(loaded.signature, 3))
        loaded.close()

    gc.collect()
    gc.disable()
    try:
        for _ in range(3):  # the first ones make what stays: classes, a child, what is imported late
            load()
            kinds_alive()
        before = kinds_alive()
        for _ in range(3):
            load()
        until(
            lambda: max((kinds_alive() - before).values(), default=0) < 3, what="all that three loads left to be gone"
        )
    finally:
        gc.enable()
