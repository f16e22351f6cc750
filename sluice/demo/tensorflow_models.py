"""Train and export the demo's two TensorFlow models: a frozen graph and a SavedModel.

Both are small dense networks that take one float32 vector of the eleven measurements, scaling included. The frozen
graph classifies (`scores`, one probability for each quality); the SavedModel estimates the quality itself (`quality`),
under the usual signature `serving_default`. TensorFlow is needed here and nowhere else in this package.
"""

from __future__ import annotations

import io
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from sluice.demo.wine import FEATURES, QUALITIES, Wines

# A member of a zip has a date; this one says nothing, so that the same model gives the same bytes.
_NO_DATE = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Exported:
    """A model's bytes and what TensorFlow's Python API says of the set.

    Attributes:
        payload: The artifact.
        expected: float32, (n, 6) probabilities or (n,) qualities: the exported bytes, read back and run.
    """

    payload: bytes
    expected: NDArray[np.float32]


class _Dense(tf.Module):  # type: ignore[misc]  # TensorFlow has no types
    """Scaling, one hidden layer, one output layer."""

    def __init__(self, wines: Wines, hidden: int, outputs: int, seed: int) -> None:
        super().__init__()
        random = np.random.default_rng(seed)
        width = len(FEATURES)
        # Plain arrays become constants of the graph; tensors would be saved as objects of a class of their own.
        self._mean = wines.matrix.mean(axis=0).astype(np.float32)
        self._scale = (1.0 / wines.matrix.std(axis=0)).astype(np.float32)
        self.hidden_weights = tf.Variable(random.normal(0, width**-0.5, (width, hidden)), dtype=tf.float32)
        self.hidden_bias = tf.Variable(np.zeros(hidden), dtype=tf.float32)
        self.output_weights = tf.Variable(random.normal(0, hidden**-0.5, (hidden, outputs)), dtype=tf.float32)
        self.output_bias = tf.Variable(np.zeros(outputs), dtype=tf.float32)

    def raw(self, features: tf.Tensor) -> tf.Tensor:
        scaled = (features - self._mean) * self._scale
        hidden = tf.nn.relu(tf.nn.bias_add(tf.matmul(scaled, self.hidden_weights), self.hidden_bias))
        return tf.nn.bias_add(tf.matmul(hidden, self.output_weights), self.output_bias)


def frozen_graph(wines: Wines, seed: int) -> Exported:
    """A classifier as a frozen GraphDef: placeholder `features`, output `scores`."""
    network = _Dense(wines, 12, len(QUALITIES), seed)
    labels = tf.constant(wines.quality - QUALITIES[0])
    _train(
        network,
        lambda features: tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=network.raw(features)),
        wines,
    )

    @tf.function(input_signature=[tf.TensorSpec([None, len(FEATURES)], tf.float32, name="features")])  # type: ignore[untyped-decorator]
    def scores(features: tf.Tensor) -> tf.Tensor:
        return tf.nn.softmax(network.raw(features), name="scores")

    graph = convert_variables_to_constants_v2(scores.get_concrete_function()).graph.as_graph_def()
    # The function's return value is one more node of its own; the probabilities are what people ask for by name.
    del graph.node[[node.name for node in graph.node].index("Identity")]
    payload = graph.SerializeToString(deterministic=True)
    return Exported(payload, run_frozen_graph(payload, wines.matrix))


def saved_model(wines: Wines, seed: int) -> Exported:
    """A regression as a zipped SavedModel: input `features`, output `quality`."""
    network = _Dense(wines, 16, 1, seed)
    quality = tf.constant(wines.quality, tf.float32)
    _train(network, lambda features: tf.square(5.5 + network.raw(features)[:, 0] - quality), wines)

    @tf.function(input_signature=[tf.TensorSpec([None, len(FEATURES)], tf.float32, name="features")])  # type: ignore[untyped-decorator]
    def serve(features: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"quality": 5.5 + tf.reshape(network.raw(features), [-1])}

    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(network, folder, signatures={"serving_default": serve})
        payload = _zip(Path(folder))
    return Exported(payload, run_saved_model(payload, wines.matrix))


def run_frozen_graph(payload: bytes, matrix: NDArray[np.float64]) -> NDArray[np.float32]:
    """What TensorFlow's Python API computes with the bytes of `frozen_graph`."""
    graph_def = tf.compat.v1.GraphDef.FromString(payload)
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(graph_def, name="")
        with tf.compat.v1.Session(graph=graph) as session:
            scores: NDArray[np.float32] = session.run("scores:0", {"features:0": matrix.astype(np.float32)})
    return scores


def run_saved_model(payload: bytes, matrix: NDArray[np.float64]) -> NDArray[np.float32]:
    """What TensorFlow's Python API computes with the bytes of `saved_model`."""
    with tempfile.TemporaryDirectory() as folder:
        zipfile.ZipFile(io.BytesIO(payload)).extractall(folder)
        serve = tf.saved_model.load(folder).signatures["serving_default"]
        quality: NDArray[np.float32] = serve(features=tf.constant(matrix, tf.float32))["quality"].numpy()
    return quality


def _train(network: _Dense, loss: object, wines: Wines, steps: int = 400) -> None:
    """Plain gradient descent on the whole set; enough for models that are to be watched, not admired."""
    features = tf.constant(wines.matrix, tf.float32)
    variables = network.trainable_variables
    optimizer = tf.keras.optimizers.Adam(0.02)

    @tf.function  # type: ignore[untyped-decorator]
    def step() -> None:
        with tf.GradientTape() as tape:
            value = tf.reduce_mean(loss(features))  # type: ignore[operator]
        optimizer.apply_gradients(zip(tape.gradient(value, variables), variables, strict=True))

    for _ in range(steps):
        step()


def _zip(folder: Path) -> bytes:
    """The files that a SavedModel is made of, in the order of their names."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            member = zipfile.ZipInfo(path.relative_to(folder).as_posix(), _NO_DATE)
            member.external_attr = 0o644 << 16
            archive.writestr(member, path.read_bytes(), zipfile.ZIP_DEFLATED)
    return buffer.getvalue()
