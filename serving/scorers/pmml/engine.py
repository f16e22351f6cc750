"""The engine: bytes of a PMML document in, a scorer that was checked out."""

from __future__ import annotations

from dataclasses import replace
from time import monotonic
from typing import Final

import structlog

from serving.core.errors import DamagedModelError, ModelLimitError, ScoringError, SignatureError
from serving.scorers.base import Artifact
from serving.scorers.fast.admission import Agreement, admit
from serving.scorers.fast.grammar import NotFastError
from serving.scorers.fast.scorer import FastScorer, Watch
from serving.scorers.pmml.document import Document, parse
from serving.scorers.pmml.normalise import normalise
from serving.scorers.pmml.process import ChildOptions
from serving.scorers.pmml.scorer import PmmlScorer
from serving.scorers.pmml.signature import EngineField, Schema, plan_outputs, read_schema
from serving.scorers.pmml.supervisor import Supervisor
from serving.scorers.pmml.verification import check_verification_rows, self_check

log = structlog.get_logger(__name__)

_NUMBERS = frozenset({"integer", "float", "double"})
# Thousands of records through a Java machine that is cold take about a second; a forest of a thousand trees takes ten.
_ADMISSION_SECONDS: Final = 10.0
# Of the time that is left for the load: a model that loads slowly must not be refused over a comparison.
_ADMISSION_SHARE: Final = 0.25


class PmmlEngine:
    """See `Engine`. All scorers of one engine share one child, which is started with the first of them.

    With `fast`, models that are plain arithmetic are computed in place, once they agree with the child (`scorers.fast`);
    `fast` is how well they have to agree, `None` is never.
    """

    def __init__(self, options: ChildOptions | None = None, fast: Agreement | None = None) -> None:
        self._supervisor = Supervisor(options)
        self._fast = fast
        self._watch = Watch()

    @property
    def supervisor(self) -> Supervisor:
        """What keeps the child alive; for diagnosis."""
        return self._supervisor

    def load(self, artifact: Artifact) -> PmmlScorer | FastScorer:
        """See `Engine.load`."""
        deadline = monotonic() + artifact.limits.load_seconds
        if artifact.directory is not None:
            raise DamagedModelError(f"a PMML model is one document, not a directory ({artifact.directory})")
        document = parse(artifact.payload, artifact.limits)
        schema = read_schema(document)
        edits = normalise(document)
        engine = self._supervisor.engine
        number, description = self._supervisor.load(
            _head(document, schema), document.serialise(), _left(deadline, artifact.limits.load_seconds)
        )
        try:
            fields = tuple(EngineField(**field) for field in description["fields"])
            plan = plan_outputs(schema, fields)
            scorer = PmmlScorer(
                schema, str(edits), plan, fields, self._supervisor, number, artifact.limits.score_seconds, engine
            )
            try:
                self_check(scorer.try_out, document, schema)
                check_verification_rows(scorer.try_out, document, schema)
            except ScoringError as error:
                raise SignatureError(f"self-check: {error}") from error
            left = _left(deadline, artifact.limits.load_seconds)
            return self._quickened(scorer, document, self._fast, left * _ADMISSION_SHARE) if self._fast else scorer
        except BaseException:
            self._supervisor.unload(number)
            raise

    def _quickened(
        self, scorer: PmmlScorer, document: Document, agreement: Agreement, seconds: float
    ) -> PmmlScorer | FastScorer:
        """The scorer with a flat model in front of it; the scorer alone, which says why, if the model is not for that."""
        try:
            evaluator = admit(
                document, scorer.schema, scorer.signature, scorer.try_out, min(seconds, _ADMISSION_SECONDS), agreement
            )
        except NotFastError as error:
            log.info("model.not_fast", model=document.model.get("modelName"), reason=str(error))
            return replace(scorer, _engine=f"{scorer.engine}; not computed in place: {error}")
        log.info("model.fast", model=document.model.get("modelName"), agreement=agreement)
        return FastScorer(scorer, evaluator, self._watch, scorer.try_out, agreement=agreement)

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
