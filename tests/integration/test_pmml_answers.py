"""The PMML engine gives the answers that the text of the standard gives, on every row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest
from patience import patient

from serving.core.columns import Features, Predictions, TextColumn
from serving.scorers.base import Artifact
from serving.scorers.pmml.engine import PmmlEngine
from tests.oracle import pmml_documents as documents
from tests.oracle.pmml_records import differences, features_of, labels, records


@pytest.fixture(scope="module")
def engine() -> Iterator[PmmlEngine]:
    engine = PmmlEngine()
    yield engine
    engine.close()


def disagreements(
    engine: PmmlEngine, document: bytes, rows: list[dict[str, object]], tolerance: float = 1e-12
) -> list[str]:
    scorer = engine.load(Artifact(document))
    try:
        return differences(document, rows, scorer.score(features_of(scorer.signature, rows)), tolerance)
    finally:
        scorer.close()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("method", ["average", "weightedAverage", "majorityVote", "weightedMajorityVote"])
def test_forest_answers_equal_the_standards(engine: PmmlEngine, method: str, seed: int) -> None:
    document = documents.forest(seed, method=method)

    assert disagreements(engine, document, records(seed, 500)) == []


@pytest.mark.parametrize("label_type", ["integer", "double"])
def test_forest_with_numeric_labels_keeps_their_spelling(engine: PmmlEngine, label_type: str) -> None:
    document = documents.forest(7, label_type=label_type)
    scorer = engine.load(Artifact(document))
    rows = records(7, 300)

    found = scorer.score(features_of(scorer.signature, rows))

    assert set(labels(found.columns["predicted_y"])) <= set(documents.CLASSES)
    assert differences(document, rows, found) == []


@pytest.mark.parametrize(
    "document",
    [
        documents.tree(1),
        documents.tree(2, label_type="integer"),
        documents.tree(3, classes=()),
        documents.forest(4, classes=()),
        documents.forest(5, classes=(), method="sum"),
        documents.forest(6, segment_target="y"),
        documents.plain_linear(7),
        documents.linear(8),
        documents.linear(9, normalisation="exp"),
        documents.linear(9, targets='<Targets><Target field="y" rescaleFactor="10" rescaleConstant="-3"/></Targets>'),
        documents.logistic(10),
        documents.logistic(11, "logit", ("good", "bad")),
        documents.logistic(12, "softmax", label_type="integer"),
        documents.general_linear(13, "identity"),
        documents.general_linear(14, "log"),
        documents.general_linear(15, "logit"),
        documents.general_linear(16, "cloglog"),
        documents.network(17),
        documents.network(18, "tanh"),
        documents.network(19, "rectifier", ()),
        documents.clusters(20),
        documents.clusters(21, "euclidean"),
        documents.boosted(22),
        documents.mixed_tree(),
        documents.transformed(23),
    ],
    ids=lambda document: "",
)
def test_answers_equal_the_standards(engine: PmmlEngine, document: bytes) -> None:
    assert disagreements(engine, document, records(99, 400), tolerance=1e-9) == []


@pytest.mark.parametrize(
    ("strategy", "otherwise"),
    [
        ("none", "returnNullPrediction"),
        ("none", "returnLastPrediction"),
        ("nullPrediction", "returnNullPrediction"),
        ("lastPrediction", "returnNullPrediction"),
        ("lastPrediction", "returnLastPrediction"),
        ("defaultChild", "returnNullPrediction"),
        ("defaultChild", "returnLastPrediction"),
    ],
)
def test_missing_values_take_the_way_that_the_tree_says(engine: PmmlEngine, strategy: str, otherwise: str) -> None:
    attributes = f' missingValueStrategy="{strategy}" noTrueChildStrategy="{otherwise}"'
    document = documents.tree(31, attributes=attributes)

    assert disagreements(engine, document, records(31, 400, missing=0.15)) == []


def test_missing_values_are_replaced_where_the_document_says_so(engine: PmmlEngine) -> None:
    document = documents.document(
        documents.field("y") + documents.numbers(),
        f'<RegressionModel functionName="regression">{documents.schema(missingValueReplacement="2.5")}'
        '<RegressionTable intercept="1"><NumericPredictor name="x0" coefficient="2"/>'
        '<NumericPredictor name="x1" coefficient="3"/></RegressionTable></RegressionModel>',
    )

    assert disagreements(engine, document, records(32, 300, missing=0.3)) == []


def test_a_linear_model_gives_no_result_for_a_missing_number(engine: PmmlEngine) -> None:
    scorer = engine.load(Artifact(documents.plain_linear(33)))

    found = scorer.score(Features(np.array([[1.0, 2.0, np.nan, 4.0], [1.0, 2.0, 3.0, 4.0]])))

    assert found.failures == {0: "the model gives no result for this record (missing: x2)"}
    assert np.isfinite(found.columns["predicted_y"][1])


def test_infinite_and_extreme_numbers_go_into_trees_as_they_are(engine: PmmlEngine) -> None:
    assert disagreements(engine, documents.forest(34), records(34, 400, extreme=0.3)) == []


def test_text_integer_and_boolean_fields_follow_their_own_rules(engine: PmmlEngine) -> None:
    document = documents.mixed_tree(' noTrueChildStrategy="returnLastPrediction"')

    assert disagreements(engine, document, records(35, 500, missing=0.2)) == []


@pytest.mark.parametrize("treatment", ["returnInvalid", "asMissing", "asIs"])
def test_an_unknown_category_is_treated_as_the_document_says(engine: PmmlEngine, treatment: str) -> None:
    document = documents.mixed_tree(text_treatment=f' invalidValueTreatment="{treatment}"')
    rows = [row | {"colour": colour} for row in records(36, 40) for colour in ("red", "purple", "")]

    assert disagreements(engine, document, rows) == []


def test_a_number_that_the_field_cannot_hold_fails_its_own_record_alone(engine: PmmlEngine) -> None:
    scorer = engine.load(Artifact(documents.mixed_tree()))
    rows = [*records(37, 3), records(37, 1)[0] | {"age": 3.5}, records(37, 1)[0] | {"organic": 2.0}]

    found = scorer.score(features_of(scorer.signature, rows))

    assert found.failures == {
        3: "the field 'age' is of type integer, and 3.5 is not",
        4: "the field 'organic' is of type boolean, and 2 is not",
    }


def test_a_missing_boolean_fails_its_record_rather_than_count_as_false(engine: PmmlEngine) -> None:
    scorer = engine.load(Artifact(documents.mixed_tree()))

    found = scorer.score(features_of(scorer.signature, [*records(41, 2), records(41, 1)[0] | {"organic": None}]))

    assert found.failures == {2: "the boolean field 'organic' is missing, which the engine cannot tell from false"}


@pytest.mark.parametrize(("kind", "replacement", "value"), [("boolean", "true", 1.0), ("integer", "7", 7.0)])
def test_a_missing_integer_or_boolean_is_replaced_as_the_document_says(
    engine: PmmlEngine, kind: str, replacement: str, value: float
) -> None:
    test = documents.threshold("a", "equal", replacement)
    document = documents.document(
        documents.field("y") + documents.field("a", kind),
        f'<TreeModel functionName="regression">{documents.schema(("a",), missingValueReplacement=replacement)}'
        f'<Node><True/><Node score="1">{test}</Node><Node score="2"><True/></Node></Node></TreeModel>',
    )
    scorer = engine.load(Artifact(document))

    found = scorer.score(Features(np.array([[np.nan], [value], [0.0]])))

    assert found.columns["predicted_y"].tolist() == [1.0, 1.0, 2.0]


def test_a_categorical_double_is_compared_by_value(engine: PmmlEngine) -> None:
    document = documents.document(
        documents.field("y") + documents.field("a", "double", ("1.0", "2.0")),
        f'<TreeModel functionName="regression">{documents.schema(("a",))}<Node><True/>'
        f'<Node score="1">{documents.threshold("a", "equal", "1.0")}</Node><Node score="2"><True/></Node></Node></TreeModel>',
    )
    scorer = engine.load(Artifact(document))

    found = scorer.score(Features(np.array([[1.0], [2.0], [9.0]])))

    assert found.columns["predicted_y"][:2].tolist() == [1.0, 2.0]
    assert set(found.failures) == {2}


def test_a_row_gives_the_same_answer_in_any_batch(engine: PmmlEngine) -> None:
    scorer = engine.load(Artifact(documents.mixed_tree()))
    features = features_of(scorer.signature, records(38, 60, missing=0.1))

    whole = scorer.score(features)
    single = [scorer.score(features.take(np.array([row]))) for row in range(60)]

    assert labels(whole.columns["predicted_y"]) == [labels(one.columns["predicted_y"])[0] for one in single]
    assert np.array_equal(
        whole.columns["probability"], np.vstack([one.columns["probability"] for one in single]), equal_nan=True
    )


def test_an_empty_batch_has_empty_columns_of_the_right_shape(engine: PmmlEngine) -> None:
    scorer = engine.load(Artifact(documents.forest(39)))

    found = scorer.score(Features(np.empty((0, 4))))

    assert found.columns["probability"].shape == (0, len(documents.CLASSES))
    assert len(found.columns["predicted_y"].codes) == 0


def test_outputs_come_under_the_documents_own_names(engine: PmmlEngine) -> None:
    output = (
        '<Output><OutputField name="verdict" optype="categorical" dataType="string" feature="predictedValue"/>'
        '<OutputField name="p of 3" optype="continuous" dataType="double" feature="probability" value="3"/>'
        '<OutputField name="percent" optype="continuous" dataType="double" feature="transformedValue">'
        '<Apply function="*"><FieldRef field="p of 3"/><Constant dataType="double">100</Constant></Apply></OutputField></Output>'
    )
    document = documents.tree(40).replace(b"</MiningSchema>", b"</MiningSchema>" + output.encode(), 1)
    scorer = engine.load(Artifact(document))

    found = scorer.score(features_of(scorer.signature, records(40, 50)))

    assert [spec.name for spec in scorer.signature.outputs] == ["verdict", "probability", "percent"]
    assert np.allclose(found.columns["percent"], 100 * found.columns["probability"][:, 0])


def test_the_signature_tells_what_the_document_says(engine: PmmlEngine) -> None:
    signature = engine.load(Artifact(documents.mixed_tree())).signature

    assert [(slot.name, slot.is_text) for slot in signature.slots] == [
        ("colour", True),
        ("age", False),
        ("organic", False),
        ("x0", False),
    ]
    assert [(spec.dtype, spec.categories) for spec in signature.inputs] == [
        ("string", ("red", "white", "rosé")),
        ("int64", ()),
        ("bool", ()),
        ("float64", ()),
    ]
    assert signature.outputs[0].categories == signature.outputs[1].categories == ("yes", "no", "perhaps")


def test_records_and_a_sample_that_are_the_first_of_a_model_at_the_same_time_both_have_their_texts(
    engine: PmmlEngine,
) -> None:
    rows = records(8, 200)
    started = Barrier(2, timeout=patient(30))

    def answer(score: Callable[[Features], Predictions], features: Features) -> Predictions:
        started.wait()
        return score(features)

    with ThreadPoolExecutor(2) as threads:
        for seed in range(60):
            scorer = engine.load(Artifact(documents.tree(seed)))
            features = features_of(scorer.signature, rows)
            found = [threads.submit(answer, score, features) for score in (scorer.score, scorer.sample)]
            texts = [each.result().columns["node_id"] for each in found]
            scorer.close()

            assert all(isinstance(text, TextColumn) and (text.codes >= 0).all() for text in texts), seed
