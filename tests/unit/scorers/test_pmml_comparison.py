"""The comparison that the child makes, with an engine that is made here: what is asked, and what is answered."""

from __future__ import annotations

import numpy as np
import pytest

from serving.core.columns import Features
from serving.core.errors import ScoringError
from serving.scorers.base import LoadLimits
from serving.scorers.fast.admission import flat_model
from serving.scorers.fast.grammar import NotFastError
from serving.scorers.fast.model import Evaluator
from serving.scorers.pmml import comparison
from serving.scorers.pmml.comparison import Request, admitted, answer, request_parts
from serving.scorers.pmml.document import parse
from serving.scorers.pmml.frames import Frame, Kind, Part
from serving.scorers.pmml.signature import EngineField, make_signature, plan_outputs, read_schema
from serving.waits import Waits
from tests.oracle import pmml_documents as documents

FIELDS = (EngineField("predicted_y", "predictedValue", None, "number", False),)
DOCUMENT = documents.plain_linear(4)
WRONG = DOCUMENT.replace(b'intercept="', b'intercept="1')


def flat(document: bytes) -> Evaluator:
    parsed = parse(document, LoadLimits())
    schema = read_schema(parsed)
    return flat_model(parsed, schema, make_signature(schema, plan_outputs(schema, FIELDS)), "exact")[0]


def engine(frame: Frame) -> tuple[Kind, list[Part]]:
    """An engine that has the document and computes it right; it answers as the child does."""
    evaluator = flat(DOCUMENT)
    matrix = np.frombuffer(frame.body).reshape(frame.rows, -1)
    values = evaluator.evaluate(Features(matrix)).predictions.columns["predicted_y"]
    assert isinstance(values, np.ndarray)
    return Kind.ANSWER, [values.data]


def broken(frame: Frame) -> tuple[Kind, list[Part]]:
    return Kind.BROKEN, [b"ArithmeticException: by zero"]


def request(document: bytes, seconds: float = 60.0) -> Frame:
    schema = read_schema(parse(DOCUMENT, LoadLimits()))
    asked = Request(schema, plan_outputs(schema, FIELDS), FIELDS, "exact", seconds)
    return Frame(Kind.COMPARE, 7, 0, memoryview(b"".join(request_parts(asked, document))))


def answered(frame: Frame, ask=engine) -> Evaluator:
    """What the worker makes of the child's answer."""
    return admitted(flat(DOCUMENT), lambda: Frame(Kind.ANSWER, 7, 0, memoryview(answer(frame, ask))))


def test_a_model_that_agrees_is_admitted():
    before = flat(DOCUMENT)

    assert answered(request(DOCUMENT)).inputs.schema == before.inputs.schema


def test_a_model_that_differs_is_refused_with_the_record():
    with pytest.raises(NotFastError, match=r"it differs from the engine: predicted_y: .* for the record"):
        answered(request(WRONG))


def test_an_engine_that_raises_over_the_records_is_not_agreed_with():
    with pytest.raises(NotFastError, match="the PMML engine failed: ArithmeticException: by zero"):
        answered(request(DOCUMENT), broken)


def test_a_comparison_that_runs_out_of_time_is_a_refusal():
    with pytest.raises(NotFastError, match="in time"):
        answered(request(DOCUMENT, seconds=0.0))


@pytest.mark.parametrize(("waited", "rest"), [(0.0, 0.0), (0.01, 0.04), (3.0, 0.1)])
def test_it_rests_between_pieces_for_as_long_as_cores_are_scarce(monkeypatch, waited, rest):
    rests = []
    monkeypatch.setattr(comparison, "sleep", rests.append)
    monkeypatch.setattr(Waits, "seconds", lambda self: waited)

    answered(request(DOCUMENT))

    assert len(rests) > 10
    assert set(rests) == {rest}


def test_a_child_that_does_not_live_to_compare_is_a_refusal():
    def compare() -> Frame:
        raise ScoringError("the child died")

    with pytest.raises(NotFastError, match="the engine failed during the comparison: the child died"):
        admitted(flat(DOCUMENT), compare)
