"""The engine: bytes of a PMML document in, a scorer that was checked out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from time import monotonic
from typing import Final

import structlog

from serving.core.errors import DamagedModelError, ModelLimitError, ScoringError, SignatureError
from serving.scorers.base import Artifact
from serving.scorers.fast.admission import Agreement, flat_model
from serving.scorers.fast.grammar import NotFastError
from serving.scorers.fast.scorer import FastScorer, Watch
from serving.scorers.pmml.comparison import Request, admitted, request_parts
from serving.scorers.pmml.document import Document, parse
from serving.scorers.pmml.frames import Frame
from serving.scorers.pmml.normalise import normalise
from serving.scorers.pmml.process import ChildOptions
from serving.scorers.pmml.scorer import PmmlScorer
from serving.scorers.pmml.served import ServedModels
from serving.scorers.pmml.signature import EngineField, Schema, plan_outputs, read_schema
from serving.scorers.pmml.supervisor import Supervisor
from serving.scorers.pmml.verification import check_verification_rows, self_check

log = structlog.get_logger(__name__)

_NUMBERS = frozenset({"integer", "float", "double"})
# Thousands of records through a Java machine that is cold take about a second; a forest of a thousand trees takes ten.
_COMPARE_SECONDS: Final = 10.0
# Of the time that is left for the load: a model that loads slowly must not be refused over a comparison. What comes before
# it in the child (parse, compile, make up records) is not in the former, and all of it is tried twice.
_COMPARE_SHARE: Final = 0.25
_WAIT_SHARE: Final = 0.35


class PmmlEngine:
    """See `Engine`. All scorers of one engine share one child, which is started with the first of them.

    With `fast`, models that are plain arithmetic are computed in place, once they agree with the child (`scorers.fast`);
    `fast` is how well they have to agree, `None` is never. As long as all are, the child gives way to everybody else.
    """

    def __init__(self, options: ChildOptions | None = None, fast: Agreement | None = None) -> None:
        self._supervisor = Supervisor(options or ChildOptions(gives_way=fast is not None))
        self._models = ServedModels(self._supervisor)
        self._fast = fast
        self._watch = Watch()

    @property
    def supervisor(self) -> Supervisor:
        """What keeps the child alive; for diagnosis."""
        return self._supervisor

    @property
    def models(self) -> ServedModels:
        """The models in the child; for diagnosis."""
        return self._models

    def load(self, artifact: Artifact) -> PmmlScorer | FastScorer:
        """See `Engine.load`."""
        deadline = monotonic() + artifact.limits.load_seconds
        if artifact.directory is not None:
            raise DamagedModelError(f"a PMML model is one document, not a directory ({artifact.directory})")
        document = parse(artifact.payload, artifact.limits)
        schema = read_schema(document)
        edits = normalise(document)
        engine = self._models.engine
        written = document.serialise()
        number, description = self._models.load(
            _head(document, schema), written, _left(deadline, artifact.limits.load_seconds)
        )
        try:
            fields = tuple(EngineField(**field) for field in description["fields"])
            plan = plan_outputs(schema, fields)
            scorer = PmmlScorer(
                schema, str(edits), plan, fields, self._models, number, artifact.limits.score_seconds, engine
            )
            try:
                self_check(scorer.try_out, document, schema)
                check_verification_rows(scorer.try_out, document, schema)
            except ScoringError as error:
                raise SignatureError(f"self-check: {error}") from error
            left = _left(deadline, artifact.limits.load_seconds)
            if self._fast is None:
                return scorer
            request = Request(schema, plan, fields, self._fast, min(_COMPARE_SECONDS, left * _COMPARE_SHARE))
            ask = partial(self._models.compare, number, request_parts(request, written), left * _WAIT_SHARE)
            return self._quickened(scorer, document, self._fast, ask)
        except BaseException:
            self._models.unload(number)
            raise

    def _quickened(
        self, scorer: PmmlScorer, document: Document, agreement: Agreement, compare: Callable[[], Frame]
    ) -> PmmlScorer | FastScorer:
        """The scorer with a flat model in front of it; the scorer alone, which says why, if the model is not for that."""
        try:
            evaluator, _ = flat_model(document, scorer.schema, scorer.signature, agreement)
            evaluator = admitted(evaluator, compare)
        except NotFastError as error:
            log.info("model.not_fast", model=document.model.get("modelName"), reason=str(error))
            self._supervisor.hurry("a model is scored by the engine")
            return replace(scorer, _engine=f"{scorer.engine}; not computed in place: {error}")
        log.info("model.fast", model=document.model.get("modelName"), agreement=agreement)
        return FastScorer(scorer, evaluator, self._watch, scorer.sample, agreement=agreement)

    def records_flow(self, do_they: bool) -> None:
        """See `Considerate`."""
        self._supervisor.records_flow(do_they)

    def close(self) -> None:
        """See `Engine.close`."""
        self._watch.close()
        self._supervisor.close()


def _head(document: Document, schema: Schema) -> dict[str, object]:
    target = next((field for field in document.root.iter("DataField") if field.get("name") == schema.target), None)
    return {
        "names": [field.name for field in schema.inputs],
        "kinds": [field.kind for field in schema.inputs],
        "categories": list(schema.categories),
        "numeric_target": target is not None and target.get("dataType") in _NUMBERS,
    }


def _left(deadline: float, load_seconds: float) -> float:
    left = deadline - monotonic()
    if left <= 0:
        raise ModelLimitError(f"the model was not loaded within {load_seconds:g} s")
    return left
