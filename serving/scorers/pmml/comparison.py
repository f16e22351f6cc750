"""The comparison that admits a model to the fast tier, made where its engine is: in the child.

It is most of what a load costs the interpreter (29 of 44 ms for a tree of 89 nodes, 20 of 25 for a linear model, measured). So
the worker compiles the document and asks; the child compiles the same document, compares, and answers in a word: neither
end runs anything that it reads.

Nobody waits for it, so where it has to wait for a core itself, it rests between two pieces, several times as long: else it
takes the cores from the records that flow meanwhile. Decision 15 has what that was measured to gain. That the
child gives way (decision 18) does not spare it the rest: a core that has its work does not look for what waits for others.

The body of a request is its length (uint32), the request in MessagePack, and the document that the model was loaded from; that of
an answer is the answer in MessagePack.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from time import sleep
from typing import Final

import msgspec

from serving.core.errors import ScoringError
from serving.scorers.base import LoadLimits
from serving.scorers.fast.admission import Agreement, admit
from serving.scorers.fast.grammar import NotFastError
from serving.scorers.fast.model import ClassModel, Evaluator
from serving.scorers.pmml.document import parse
from serving.scorers.pmml.frames import Frame, Kind, Part
from serving.scorers.pmml.scorer import PmmlScorer
from serving.scorers.pmml.served import answered
from serving.scorers.pmml.signature import EngineField, OutputPlan, Schema
from serving.waits import Waits

_LENGTH: Final = struct.Struct("=I")
_REST: Final = 4.0
"""Times what it waited: so much less than its share of the cores it takes."""
_LONGEST_REST_SECONDS: Final = 0.1

Ask = Callable[[Frame], tuple[Kind, list[Part]]]


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be compared.

    Attributes:
        schema: Of the document, before it was edited for the engine.
        plan: How the engine's columns become outputs.
        fields: The engine's columns.
        agreement: What the comparison is to find.
        seconds: Longest time for it.
    """

    schema: Schema
    plan: OutputPlan
    fields: tuple[EngineField, ...]
    agreement: Agreement
    seconds: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the comparison found.

    Attributes:
        refusal: Why the model is not for the fast tier; empty if it is.
        nothing: See `ClassModel.nothing`: what the engine was asked about it.
    """

    refusal: str
    nothing: int | None = None


def request_parts(request: Request, document: bytes) -> list[Part]:
    """The body of a `COMPARE` request."""
    head = msgspec.msgpack.encode(request)
    return [_LENGTH.pack(len(head)), head, document]


def admitted(evaluator: Evaluator, compare: Callable[[], Frame]) -> Evaluator:
    """A flat model as the child's comparison leaves it; `compare` has the child make it.

    Raises:
        NotFastError: The child found that it is not for the fast tier, or could not compare.
    """
    try:
        verdict = msgspec.msgpack.decode(compare().body, type=Verdict)
    except ScoringError as error:
        raise NotFastError(f"the engine failed during the comparison: {error}") from error
    if verdict.refusal:
        raise NotFastError(verdict.refusal)
    return replace(evaluator, nothing=verdict.nothing) if isinstance(evaluator, ClassModel) else evaluator


def answer(frame: Frame, ask: Ask) -> bytes:
    """Compare; runs in the child, whose `ask` answers a `SCORE` request."""
    (length,) = _LENGTH.unpack_from(frame.body)
    request = msgspec.msgpack.decode(frame.body[_LENGTH.size : _LENGTH.size + length], type=Request)
    # It was screened before the worker sent it.
    document = parse(bytes(frame.body[_LENGTH.size + length :]), LoadLimits(sys.maxsize, sys.maxsize, sys.maxsize))
    waits = Waits()
    here = PmmlScorer(
        request.schema, "", request.plan, request.fields, _Here(ask, waits), frame.model, request.seconds, ""
    )
    try:
        found = admit(document, request.schema, here.signature, here.score, request.seconds, request.agreement)
    except NotFastError as error:
        return msgspec.msgpack.encode(Verdict(str(error)))
    finally:
        waits.close()
    return msgspec.msgpack.encode(Verdict("", _nothing_of(found)))


def _nothing_of(evaluator: Evaluator) -> int | None:
    return evaluator.nothing if isinstance(evaluator, ClassModel) else None


class _Here:
    """The child's models, without a way to them that could break. See `Served`."""

    def __init__(self, ask: Ask, waits: Waits) -> None:
        self._ask, self._waits = ask, waits

    def score(self, number: int, rows: int, parts: Sequence[Part], seconds: float) -> Frame:
        sleep(min(_LONGEST_REST_SECONDS, _REST * self._waits.seconds()))
        kind, body = self._ask(Frame(Kind.SCORE, number, rows, memoryview(b"".join(parts))))
        return answered(Frame(kind, number, rows, memoryview(b"".join(body))))

    check = sample = score_once = score

    def unload(self, number: int) -> None:
        raise ScoringError("a comparison forgets no model")
