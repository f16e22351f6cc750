"""The demonstration's models, as a worker scores with them: the tree by the fast tier, the graph by TensorFlow's C API.

The tree is not loaded by the engine first, which would take a Java machine: its flat model is compiled from the document,
and the scorer around it is never given an engine to ask. Records without missing values need none.
"""

from __future__ import annotations

from collections.abc import Callable

from model_store.core.signature import FeatureSlot, Signature, TensorSpec
from serving.core.columns import Features, Predictions
from serving.core.errors import ScoringError
from serving.scorers.base import Artifact, LoadLimits, Scorer
from serving.scorers.fast.compiling import compile_document
from serving.scorers.fast.scorer import FastScorer, Watch
from serving.scorers.pmml.document import parse
from serving.scorers.pmml.normalise import normalise
from serving.scorers.pmml.signature import read_schema
from sluice.demo.wine import ARTIFACTS


def tree_scorer() -> Scorer:
    """The regression tree of 89 nodes."""
    document = parse((ARTIFACTS / "wine_tree_regression.pmml").read_bytes(), LoadLimits())
    schema = read_schema(document)
    normalise(document)
    slots = tuple(FeatureSlot(field.name) for field in schema.inputs)
    signature = Signature((), (TensorSpec("predicted_quality", "float64"),), slots)
    evaluator, _ = compile_document(document, schema, signature)
    engine = _NoEngine(signature)
    return FastScorer(engine, evaluator, _NoWatch(), engine.score)


def graph_scorer() -> Scorer:
    """The frozen graph.

    Raises:
        EngineUnavailableError: TensorFlow is not installed.
    """
    from serving.scorers.tensorflow.engine import FrozenGraphEngine

    return FrozenGraphEngine().load(Artifact((ARTIFACTS / "wine_frozen.pb").read_bytes()))


class _NoEngine:
    engine = "none"
    runs_elsewhere = True

    def __init__(self, signature: Signature) -> None:
        self.signature = signature

    def score(self, features: Features) -> Predictions:
        raise ScoringError("the guard's records are such that nobody asks the engine")

    def close(self) -> None:
        pass


class _NoWatch(Watch):
    """Takes the first sample and never looks at it, after which its scorer takes no other: no work beside the work."""

    def submit(self, work: Callable[[], None]) -> None:
        pass
