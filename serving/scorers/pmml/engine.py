"""The engine: bytes of a PMML document in, a scorer that was checked out."""

from __future__ import annotations

from time import monotonic

from serving.core.errors import DamagedModelError, ModelLimitError, ScoringError, SignatureError
from serving.scorers.base import Artifact
from serving.scorers.pmml.document import Document, parse
from serving.scorers.pmml.normalise import normalise
from serving.scorers.pmml.process import ChildOptions
from serving.scorers.pmml.scorer import PmmlScorer
from serving.scorers.pmml.signature import EngineField, Schema, plan_outputs, read_schema
from serving.scorers.pmml.supervisor import Supervisor
from serving.scorers.pmml.verification import check_verification_rows, self_check

_NUMBERS = frozenset({"integer", "float", "double"})


class PmmlEngine:
    """See `Engine`. All scorers of one engine share one child, which is started with the first of them."""

    def __init__(self, options: ChildOptions | None = None) -> None:
        self._supervisor = Supervisor(options)

    @property
    def supervisor(self) -> Supervisor:
        """What keeps the child alive; for diagnosis."""
        return self._supervisor

    def load(self, artifact: Artifact) -> PmmlScorer:
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
            _left(deadline, artifact.limits.load_seconds)
        except BaseException:
            self._supervisor.unload(number)
            raise
        return scorer

    def close(self) -> None:
        """See `Engine.close`."""
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
