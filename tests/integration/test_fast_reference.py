"""Models in the fast tier beside the engine that loaded them: admitted where they agree, given back where they do not."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

import sluice.demo
from serving.core.columns import Features
from serving.scorers.base import Artifact, LoadLimits
from serving.scorers.fast.admission import admit, disagreement, hold_against
from serving.scorers.fast.compiling import compile_document
from serving.scorers.fast.grammar import NotFastError
from serving.scorers.fast.joining import taken
from serving.scorers.fast.model import Evaluator
from serving.scorers.fast.rows import MadeUp, made_up
from serving.scorers.fast.scorer import FastScorer, Watch
from serving.scorers.pmml.document import parse
from serving.scorers.pmml.engine import PmmlEngine
from serving.scorers.pmml.normalise import normalise
from serving.scorers.pmml.scorer import PmmlScorer
from serving.scorers.pmml.signature import read_schema
from tests.oracle import pmml_documents as documents
from tests.oracle.pmml_records import features_of, records

ARTIFACTS = Path(sluice.demo.__file__).parent / "artifacts"
LIMITS = LoadLimits()
NOTHING = np.empty(0, np.intp)
MANY = tuple("abcdefg")


@pytest.fixture(scope="module")
def engine() -> Iterator[PmmlEngine]:
    made = PmmlEngine(fast="tolerant")
    yield made
    made.close()


@pytest.fixture(scope="module")
def exact() -> Iterator[PmmlEngine]:
    made = PmmlEngine(fast="exact")
    yield made
    made.close()


@pytest.fixture(scope="module")
def slow() -> Iterator[PmmlEngine]:
    made = PmmlEngine()
    yield made
    made.close()


def flat(document: bytes, scorer: PmmlScorer) -> Evaluator:
    parsed = parse(document, LIMITS)
    schema = read_schema(parsed)
    normalise(parsed)
    return compile_document(parsed, schema, scorer.signature)[0]


STRATEGIES = (
    "",
    ' missingValueStrategy="lastPrediction"',
    ' missingValueStrategy="defaultChild"',
    ' noTrueChildStrategy="returnLastPrediction"',
)
SEEDS = st.integers(0, 10_000)
TREES = st.integers(5, 15)
PLAIN = st.one_of(
    st.builds(documents.tree, SEEDS, st.sampled_from([documents.CLASSES, MANY, ()]), st.sampled_from(STRATEGIES)),
    st.builds(
        documents.forest,
        SEEDS,
        st.sampled_from([documents.CLASSES, MANY]),
        TREES,
        st.sampled_from(["average", "weightedAverage"]),
    ),
    st.builds(
        documents.forest,
        SEEDS,
        st.sampled_from([documents.CLASSES, ("no", "yes")]),
        TREES,
        st.sampled_from(["majorityVote", "weightedMajorityVote"]),
    ),
    st.builds(documents.forest, SEEDS, st.just(()), TREES, st.sampled_from(["average", "weightedAverage", "sum"])),
    st.builds(documents.linear, SEEDS).map(lambda document: document.replace(b' exponent="2"', b"")),
    st.builds(documents.plain_linear, SEEDS),
    st.builds(documents.logistic, SEEDS, st.just("simplemax")),
    st.builds(documents.logistic, SEEDS, st.just("none"), st.just(("no", "yes"))),
    st.builds(documents.general_linear, SEEDS, st.just("identity")),
)
"""Models of which every operation is one that IEEE 754 prescribes."""
ROUNDED = st.one_of(
    st.builds(documents.linear, SEEDS, st.sampled_from(["none", "exp", "softmax"])),
    st.builds(documents.logistic, SEEDS, st.just("softmax")),
    st.builds(documents.logistic, SEEDS, st.just("logit"), st.just(("no", "yes"))),
    st.builds(documents.general_linear, SEEDS, st.sampled_from(["log", "logit"])),
    st.builds(documents.network, SEEDS, st.sampled_from(["logistic", "tanh", "rectifier"])),
)
"""Models with an operation that another library may round in another way."""


def extremes(features: Features, seed: int) -> Features:
    """As many records: sums that cancel, denormal and huge numbers, noughts of both signs, infinities, missing values."""
    source = np.random.default_rng(seed)
    shape = features.matrix.shape
    numbers = source.normal(0, 1, shape) * 10.0 ** source.choice([-320, -300, -20, 0, 0, 0, 8, 17, 300], shape)
    pairs = source.random(len(numbers)) < 0.3
    numbers[pairs, -1] = -numbers[pairs, 0]
    special = source.choice([0.0, -0.0, 5e-324, -5e-324, np.inf, -np.inf, np.nan, 1.5, -1.5], shape)
    return Features(np.where(source.random(shape) < 0.15, special, numbers), features.texts)


@given(document=PLAIN, seed=st.integers(0, 10_000), rows=st.sampled_from([1, 2, 3, 5, 17, 400]))
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
def test_an_exact_model_gives_the_bits_of_the_engine_on_records_that_admission_did_not_see(exact, document, seed, rows):
    scorer = exact.load(Artifact(document))
    try:
        # Small forests have many ties; which class the engine takes then, it alone knows.
        assume("classes of equal probability" not in scorer.engine)
        assert isinstance(scorer, FastScorer), scorer.engine
        whole = extremes(features_of(scorer.signature, records(seed, 800, missing=0.05)), seed)
        reference = scorer.reference.score(whole)

        for start in range(0, min(len(whole), 40 * rows), rows):
            part = np.arange(start, min(start + rows, len(whole)))
            batch = whole.take(part)
            assert disagreement(batch, scorer.score(batch), taken(reference, part), NOTHING, "exact") is None

        assert scorer.is_fast
    finally:
        scorer.close()


@given(document=ROUNDED)
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_model_that_may_differ_in_the_last_bits_is_left_to_the_engine_unless_tolerance_is_asked_for(exact, document):
    scorer = exact.load(Artifact(document))

    assert isinstance(scorer, PmmlScorer)
    assert "may differ from the engine's in the last bits" in scorer.engine
    scorer.close()


def backwards(document: bytes, part: str) -> bytes:
    """The same document with the parts that a pattern matches in the opposite order."""
    text = document.decode()
    found = re.findall(part, text)
    assert len(found) > 3
    assert "".join(found) in text
    return text.replace("".join(found), "".join(reversed(found))).encode()


@pytest.mark.parametrize(
    ("document", "part"),
    [
        (documents.plain_linear(4), r"<NumericPredictor [^>]*/>"),
        (documents.forest(4, (), trees=9, method="sum"), r"<Segment .*?</Segment>"),
    ],
    ids=["terms", "trees"],
)
def test_sums_in_another_order_are_close_and_not_exact(slow, document, part):
    wrong = backwards(document, part)
    scorer = slow.load(Artifact(document))
    evaluator = flat(wrong, scorer)
    parsed = parse(document, LIMITS)
    schema = read_schema(parsed)
    normalise(parsed)
    right, graph = compile_document(parsed, schema, scorer.signature)
    rows = made_up(parsed.root, right.inputs, graph)
    ordinary = rows.features.take(np.flatnonzero(rows.is_ordinary))
    rows = MadeUp(ordinary, np.ones(len(ordinary), np.bool_))

    hold_against(right, scorer.try_out, rows, monotonic() + 60, "exact")
    hold_against(evaluator, scorer.try_out, rows, monotonic() + 60, "tolerant")
    with pytest.raises(NotFastError, match="it differs from the engine"):
        hold_against(evaluator, scorer.try_out, rows, monotonic() + 60, "exact")
    scorer.close()


@given(document=st.one_of(PLAIN, ROUNDED), seed=st.integers(0, 10_000))
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
def test_drawn_models_are_admitted_and_agree_with_the_engine_on_records_that_admission_did_not_see(
    engine, document, seed
):
    scorer = engine.load(Artifact(document))
    try:
        # Small forests have many ties; which class the engine takes then, it alone knows.
        assume("classes of equal probability" not in scorer.engine)
        assert isinstance(scorer, FastScorer), scorer.engine
        batch = features_of(scorer.signature, records(seed, 400, missing=0.05, extreme=0.05))

        fast, reference = scorer.score(batch), scorer.reference.score(batch)

        assert disagreement(batch, fast, reference, NOTHING, "tolerant") is None
        assert scorer.is_fast
    finally:
        scorer.close()


TREATMENTS = [
    {"invalidValueTreatment": "asIs"},
    {"invalidValueTreatment": "asMissing"},
    {"invalidValueTreatment": "asMissing", "missingValueReplacement": "0.5"},
    {"missingValueReplacement": "1"},
    {"missingValueTreatment": "returnInvalid"},
    {"outliers": "asExtremeValues", "lowValue": "-0.5", "highValue": "0.75"},
    {"outliers": "asMissingValues", "lowValue": "-0.5", "highValue": "0.75", "missingValueReplacement": "0.1"},
    {"invalidValueTreatment": "asValue", "invalidValueReplacement": "0.25"},
]


@pytest.mark.parametrize("treatment", TREATMENTS, ids=str)
@pytest.mark.parametrize("closure", ["closedClosed", "openClosed"])
def test_values_are_treated_as_the_engine_treats_them(engine, treatment, closure):
    interval = f'<Interval closure="{closure}" leftMargin="-1" rightMargin="1.5"/>'
    tree = documents.TreeWriter(5).model(documents.schema(**treatment))
    fields = "".join(documents.field(name, inner=interval) for name in documents.NUMBERS)
    document = documents.document(documents.field("y", "string", documents.CLASSES) + fields, tree)

    scorer = engine.load(Artifact(document))

    assert isinstance(scorer, FastScorer), scorer.engine
    batch = features_of(scorer.signature, records(7, 500, missing=0.1, extreme=0.1))
    assert disagreement(batch, scorer.score(batch), scorer.reference.score(batch), NOTHING) is None
    scorer.close()


@pytest.mark.parametrize("name", ["wine_linear", "wine_tree", "wine_tree_regression", "wine_forest"])
def test_the_demonstration_models_are_fast_and_exact(exact, name):
    scorer = exact.load(Artifact((ARTIFACTS / f"{name}.pmml").read_bytes()))

    assert isinstance(scorer, FastScorer), scorer.engine
    assert not scorer.runs_elsewhere
    assert "bit for bit" in scorer.engine
    scorer.close()


def test_what_the_engine_says_of_a_record_without_values_was_learned_and_is_not_asked_again(exact, monkeypatch):
    scorer = exact.load(Artifact(documents.forest(4, trees=12)))
    assert isinstance(scorer, FastScorer), scorer.engine
    empty = features_of(scorer.signature, [{}])
    said = scorer.reference.score(empty)
    monkeypatch.setattr(scorer, "reference", None)

    assert disagreement(empty, scorer.score(empty), said, NOTHING) is None


def test_the_network_of_the_demonstration_is_fast_where_tolerance_is_asked_for(engine):
    scorer = engine.load(Artifact((ARTIFACTS / "wine_network.pmml").read_bytes()))

    assert isinstance(scorer, FastScorer), scorer.engine
    assert "to 1e-12" in scorer.engine
    scorer.close()


def test_a_model_that_is_not_for_the_fast_tier_is_served_as_before_and_says_why(engine):
    with capture_logs() as logs:
        scorer = engine.load(Artifact((ARTIFACTS / "wine_kmeans.pmml").read_bytes()))

    assert isinstance(scorer, PmmlScorer)
    assert scorer.runs_elsewhere
    assert "not computed in place: the document uses <ClusteringModel>" in scorer.engine
    assert [line["reason"] for line in logs if line["event"] == "model.not_fast"] == [
        "the document uses <ClusteringModel>"
    ]
    assert not scorer.score(Features(np.ones((3, 11)))).failures
    scorer.close()


def test_nothing_is_fast_where_it_is_off(slow):
    scorer = slow.load(Artifact(documents.plain_linear(1)))

    assert isinstance(scorer, PmmlScorer)
    scorer.close()


def one_ulp(text: str) -> str:
    return repr(float(np.nextafter(float(text), np.inf)))


def altered(document: bytes, before: str, number: int, change) -> bytes:
    """The document with one number changed: the one after the occurrence `number` of `before`."""
    text = document.decode()
    start = 0
    for _ in range(number):
        start = text.index(before, start) + len(before)
    end = text.index('"', start)
    return (text[:start] + change(text[start:end]) + text[end:]).encode()


def less(document: bytes) -> bytes:
    """One pair of `<=` and `>` made `<` and `>=`: a difference for a single number only."""
    text = document.decode()
    at = text.rindex("lessOrEqual")
    text = text[:at] + "lessThan" + text[at + len("lessOrEqual") :]
    at = text.index("greaterThan", at)
    return (text[:at] + "greaterOrEqual" + text[at + len("greaterThan") :]).encode()


ALTERED = {
    "one threshold of a tree by one unit in the last place": (
        documents.tree(4),
        lambda document: altered(
            altered(document, 'lessOrEqual" value="', 3, one_ulp), 'greaterThan" value="', 3, one_ulp
        ),
    ),
    "the edge of one split": (documents.tree(4), less),
    "the edge of one split in a forest": (documents.forest(4, trees=12), less),
    "what becomes of a missing value": (
        documents.tree(4, attributes=' missingValueStrategy="lastPrediction"'),
        lambda document: document.replace(b'"lastPrediction"', b'"defaultChild"'),
    ),
    "one weight of a forest": (
        documents.forest(4, method="weightedAverage"),
        lambda document: altered(document, 'weight="', 2, lambda text: repr(float(text) + 1e-9)),
    ),
    "one coefficient by one part in a hundred million": (
        documents.plain_linear(4),
        lambda document: altered(document, 'coefficient="', 2, lambda text: repr(float(text) * (1 + 1e-8))),
    ),
    "one share of one leaf": (
        documents.tree(4),
        lambda document: altered(document, 'recordCount="', document.count(b"recordCount="), lambda text: text + "1"),
    ),
    "one weight of a network": (
        documents.network(4),
        lambda document: altered(document, 'weight="', 7, lambda text: repr(float(text) * (1 + 1e-8))),
    ),
}


@pytest.mark.parametrize("difference", ALTERED)
def test_a_flat_model_that_is_wrong_is_not_admitted(slow, difference):
    document, change = ALTERED[difference]
    wrong = change(document)
    assert wrong != document
    scorer = slow.load(Artifact(document))
    try:
        evaluator = flat(wrong, scorer)
        parsed = parse(document, LIMITS)
        schema = read_schema(parsed)
        normalise(parsed)
        right, graph = compile_document(parsed, schema, scorer.signature)
        rows = made_up(parsed.root, right.inputs, graph)

        assert hold_against(right, scorer.try_out, rows, monotonic() + 60, "tolerant") == len(rows.features)
        with pytest.raises(NotFastError, match="it differs from the engine"):
            hold_against(evaluator, scorer.try_out, rows, monotonic() + 60, "tolerant")
    finally:
        scorer.close()


def test_a_document_whose_own_rows_the_flat_model_fails_is_not_admitted(slow):
    document = documents.plain_linear(4)
    scorer = slow.load(Artifact(document))
    rows = (
        '<ModelVerification><VerificationFields><VerificationField field="x0"/><VerificationField field="y"/>'
        "</VerificationFields><InlineTable><row><x0>1</x0><y>123</y></row></InlineTable></ModelVerification>"
    )
    parsed = parse(document.replace(b"</RegressionModel>", rows.encode() + b"</RegressionModel>"), LIMITS)
    schema = read_schema(parsed)

    with pytest.raises(NotFastError, match="own rows"):
        admit(parsed, schema, scorer.signature, scorer.try_out, 60)
    scorer.close()


def test_what_cannot_be_compared_in_time_is_not_admitted(slow):
    document = documents.plain_linear(4)
    scorer = slow.load(Artifact(document))
    parsed = parse(document, LIMITS)

    with pytest.raises(NotFastError, match="in time"):
        admit(parsed, read_schema(parsed), scorer.signature, scorer.try_out, 0.0)
    scorer.close()


def test_a_wrong_model_that_slipped_through_is_switched_off_and_no_record_is_lost(slow):
    document, change = ALTERED["one coefficient by one part in a hundred million"]
    reference = slow.load(Artifact(document))
    truth = slow.load(Artifact(document))
    wrong = flat(change(document), reference)
    watch, changed = Watch(), threading.Event()
    scorer = FastScorer(reference, wrong, watch, reference.sample, sample_seconds=0.0)
    scorer.when_changed(changed.set)
    batch = features_of(scorer.signature, records(5, 500))

    with capture_logs() as logs:
        batches = 0
        while not changed.wait(0.001):
            predictions = scorer.score(batch)
            assert not predictions.failures
            assert len(predictions.columns["predicted_y"]) == 500
            batches += 1
            assert batches < 10_000
        after = scorer.score(batch)

    assert scorer.runs_elsewhere
    assert scorer.disagreements == 1
    assert disagreement(batch, after, truth.score(batch), NOTHING) is None
    assert [line["event"] for line in logs] == ["model.fast_disagreed"]
    watch.close()
    scorer.close()
    truth.close()


def test_a_fast_model_outlives_the_death_of_the_engine(engine):
    scorer = engine.load(Artifact(documents.tree(8)))
    assert isinstance(scorer, FastScorer)
    batch = features_of(scorer.signature, records(5, 50))
    before = scorer.score(batch)

    child = engine.supervisor._child
    assert child is not None
    child.kill()
    after = scorer.score(batch)

    assert disagreement(batch, after, before, NOTHING) is None
    assert scorer.is_fast
    assert disagreement(batch, scorer.reference.score(batch), before, NOTHING) is None
    scorer.close()
