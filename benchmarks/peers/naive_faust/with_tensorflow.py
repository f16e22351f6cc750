"""The model by TensorFlow's Python package: the frozen graph is imported once and called with one row a record."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from benchmarks.peers.naive_faust.agent import Score, work
from benchmarks.peers.python.schema import row_of


def load(artifact: bytes) -> Score:
    graph = tf.compat.v1.GraphDef.FromString(artifact)
    feed = next(node.name for node in graph.node if node.op == "Placeholder")
    used = {name.split(":")[0].lstrip("^") for node in graph.node for name in node.input}
    fetch = next(node.name for node in graph.node if node.name not in used and node.op not in ("Const", "NoOp"))
    with tf.Graph().as_default() as built:
        tf.import_graph_def(graph, name="")
    run = tf.compat.v1.Session(graph=built).make_callable(f"{fetch}:0", feed_list=[f"{feed}:0"])

    def score(record: Any) -> list[float]:
        return run([row_of(record)])[0].tolist()

    return score


if __name__ == "__main__":
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    work(load)
