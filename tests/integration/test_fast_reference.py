"""Models in the fast tier beside the engine that loaded them: admitted where they agree, given back where they do not."""

from __future__ import annotations

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
from serving.scorers.fast.model import Evaluator
from serving.scorers.fast.rows import made_up
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
    made = PmmlEngine(fast=True)
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
DRAWN = st.one_of(
    st.builds(
        documents.tree,
        st.integers(0, 10_000),
        st.sampled_from([documents.CLASSES, MANY, ()]),
        st.sampled_from(STRATEGIES),
    ),
    st.builds(
        documents.forest,
        st.integers(0, 10_000),
        st.sampled_from([documents.CLASSES, MANY]),
        st.integers(5, 15),
        st.sampled_from(["average", "weightedAverage"]),
    ),
    st.builds(
        documents.forest,
        st.integers(0, 10_000),
        st.sampled_from([documents.CLASSES, ("no", "yes")]),
        st.integers(5, 15),
        st.sampled_from(["majorityVote", "weightedMajorityVote"]),
    ),
    st.builds(
        documents.forest,
        st.integers(0, 10_000),
        st.just(()),
        st.integers(5, 15),
        st.sampled_from(["average", "weightedAverage", "sum"]),
    ),
    st.builds(documents.linear, st.integers(0, 10_000), st.sampled_from(["none", "exp", "softmax"])),
    st.builds(documents.plain_linear, st.integers(0, 10_000)),
    st.builds(documents.logistic, st.integers(0, 10_000), st.sampled_from(["softmax", "simplemax"])),
    st.builds(documents.logistic, st.integers(0, 10_000), st.just("logit"), st.just(("no", "yes"))),
    st.builds(documents.general_linear, st.integers(0, 10_000), st.sampled_from(["identity", "log", "logit"])),
    st.builds(documents.network, st.integers(0, 10_000), st.sampled_from(["logistic", "tanh", "rectifier"])),
)


@given(document=DRAWN, seed=st.integers(0, 10_000))
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
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

        assert disagreement(batch, fast, reference, NOTHING) is None
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


@pytest.mark.parametrize("name", ["wine_linear", "wine_tree", "wine_tree_regression", "wine_forest", "wine_network"])
def test_the_demonstration_models_are_fast(engine, name):
    scorer = engine.load(Artifact((ARTIFACTS / f"{name}.pmml").read_bytes()))

    assert isinstance(scorer, FastScorer), scorer.engine
    assert not scorer.runs_elsewhere
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


def test_nothing_is_fast_unless_it_is_asked_for(slow):
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

        assert hold_against(right, scorer.try_out, rows, monotonic() + 60) == len(rows.features)
        with pytest.raises(NotFastError, match="it differs from the engine"):
            hold_against(evaluator, scorer.try_out, rows, monotonic() + 60)
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
    scorer = FastScorer(reference, wrong, watch, reference.try_out, sample_seconds=0.0)
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
