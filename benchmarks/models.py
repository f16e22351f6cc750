"""The models that every system is given, and what each must say of the bottles whose answers are known."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from modelserving.v1.descriptor_pb2 import ModelDescriptor
from numpy.typing import NDArray

from benchmarks.peer import ModelKind
from sluice.demo.wine import ARTIFACTS

DATA_TYPE = "wine"
"""Of all records where there is one; and the name of its model."""
KINDS: tuple[ModelKind, ...] = ("tree", "linear", "forest", "graph")
BOTTLES = 300
"""The first so many bottles of the demo's set have expected answers in `expected.npz`, computed by scikit-learn and by
TensorFlow's own Python interface when the artifacts were made: by no system that is measured here."""


@dataclass(frozen=True, slots=True)
class Model:
    """One model.

    Attributes:
        kind: As peers name it.
        path: Its artifact.
        type: Of its descriptor.
        expected: float64 (300, outputs): a prediction, or the scores of the classes.
        tolerance: Largest difference that still counts as the same answer.
    """

    kind: ModelKind
    path: Path
    type: int
    expected: NDArray[np.float64]
    tolerance: float

    @property
    def sha256(self) -> bytes:
        """Digest of the artifact."""
        return hashlib.sha256(self.path.read_bytes()).digest()

    def descriptor(self, data_type: str = DATA_TYPE) -> bytes:
        """What a publisher puts on the control topic; the model of a data type has its name."""
        return ModelDescriptor(
            name=data_type, data_type=data_type, modeltype=self.type, data=self.path.read_bytes()
        ).SerializeToString()


@cache
def model(kind: ModelKind) -> Model:
    """The model of a kind; a float32 graph may differ from the reference by float32's own rounding."""
    file, answers, type_, tolerance = {
        "linear": ("wine_linear.pmml", "wine_linear", ModelDescriptor.PMML, 1e-6),
        "tree": ("wine_tree_regression.pmml", "wine_tree_regression", ModelDescriptor.PMML, 1e-6),
        "forest": ("wine_forest.pmml", "wine_forest.scores", ModelDescriptor.PMML, 1e-6),
        "graph": ("wine_frozen.pb", "wine_frozen", ModelDescriptor.TENSORFLOW, 1e-5),
    }[kind]
    with np.load(ARTIFACTS / "expected.npz") as known:
        expected = known[answers].astype(np.float64).reshape(BOTTLES, -1)
    return Model(kind, ARTIFACTS / file, type_, expected, tolerance)


def swap_partner(kind: ModelKind, offered: tuple[ModelKind, ...]) -> ModelKind | None:
    """The model that a system is given in mid-stream: another of those it runs, the quickest to load first."""
    return next((other for other in ("linear", "tree", "forest", "graph") if other != kind and other in offered), None)  # type: ignore[return-value]
