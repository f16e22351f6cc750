"""What TensorFlow's own Python API says of the models of a corpus. Run as a script in a process of its own:

    python tensorflow_reference.py MATRIX.npy OUTPUT.npz NAME=PATH ...

`PATH` is a frozen graph or the directory of a SavedModel; each output is kept as `<name>/<output>`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np


def main(matrix_path: str, output_path: str, *models: str) -> None:
    import tensorflow as tf

    matrix = np.load(matrix_path).astype(np.float32)
    found: dict[str, np.ndarray] = {}
    for model in models:
        name, _, path = model.partition("=")
        run = _saved_model if Path(path).is_dir() else _frozen_graph
        found |= {f"{name}/{output}": values for output, values in run(tf, Path(path), matrix).items()}
    np.savez(output_path, **found)


def _frozen_graph(tf, path, matrix):
    """The one placeholder is fed; what nobody consumes is fetched."""
    definition = tf.compat.v1.GraphDef.FromString(path.read_bytes())
    consumed = {source.lstrip("^").partition(":")[0] for node in definition.node for source in node.input}
    (placeholder,) = [node.name for node in definition.node if node.op == "Placeholder"]
    outputs = [node.name for node in definition.node if node.name not in consumed and node.op not in ("NoOp", "Const")]
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(definition, name="")
        with tf.compat.v1.Session(graph=graph) as session:
            values = session.run([f"{output}:0" for output in outputs], {f"{placeholder}:0": matrix})
    return dict(zip(outputs, values, strict=True))


def _saved_model(tf, path, matrix):
    """The signature `serving_default`, else the only one."""
    with tf.Graph().as_default() as graph, tf.compat.v1.Session(graph=graph) as session:
        meta = tf.compat.v1.saved_model.load(session, ["serve"], str(path))
        signatures = {key: value for key, value in meta.signature_def.items() if not key.startswith("__")}
        signature = signatures.get("serving_default") or next(iter(signatures.values()))
        (given,) = signature.inputs.values()
        fetches = {name: info.name for name, info in signature.outputs.items()}
        return session.run(fetches, {given.name: matrix})


if __name__ == "__main__":
    main(*sys.argv[1:])
