"""Load the models of `tensorflow_models` and make features of their inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from tensorflow_models import Case, case

from model_store.core.signature import Signature
from serving.core.columns import Features, TextColumn
from serving.scorers.base import Artifact
from serving.scorers.tensorflow.engine import FrozenGraphEngine, SavedModelEngine
from serving.scorers.tensorflow.scorer import TensorFlowScorer

QUIETEST = 1e-37
"""Below this float32 is nearly subnormal; results there were seen to differ from the reference by as little."""


def load(name: str, **options: Any) -> TensorFlowScorer:
    model = case(name)
    if model.is_frozen:
        return FrozenGraphEngine().load(Artifact(model.frozen, **options))
    return SavedModelEngine().load(Artifact(b"", directory=model.saved_model, **options))


def features_of(signature: Signature, inputs: Mapping[str, np.ndarray]) -> Features:
    rows = len(next(iter(inputs.values())))
    blocks = [np.zeros((rows, 0))]
    texts = []
    for spec in signature.inputs:
        if spec.dtype == "string":
            values, codes = np.unique(inputs[spec.name], return_inverse=True)
            texts.append(TextColumn(codes.astype(np.int64), [str(value) for value in values]))
        else:
            blocks.append(inputs[spec.name].reshape(rows, -1).astype(np.float64))
    return Features(np.ascontiguousarray(np.hstack(blocks)), tuple(texts))


def reference(model: Case, signature: Signature) -> tuple[Features, dict[str, np.ndarray]]:
    inputs, outputs = model.expected()
    return features_of(signature, inputs), outputs


def assert_same_floats(got: np.ndarray, want: np.ndarray) -> None:
    """Bit for bit, but where the reference is nearly nothing."""
    loud = np.abs(want) > QUIETEST
    assert (got[loud] == want[loud]).all()
    assert (np.abs(got[~loud]) <= QUIETEST).all()


def column_values(column: Any) -> np.ndarray:
    """A column as one array: text columns as their strings."""
    if isinstance(column, TextColumn):
        return np.array([column.values[code] if code >= 0 else None for code in column.codes])
    return np.asarray(column)


def matrix(*rows: Any) -> Features:
    return Features(np.array(rows, np.float64).reshape(len(rows), -1))
