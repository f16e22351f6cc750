"""Scores windows when told to: `python -m benchmarks.heavy.contender WAY MODEL`, one core, one thread.

A line `n` on standard input asks for `n` windows, one at a time. The answer is a line of JSON: CPU milliseconds of the
process for each, wall milliseconds for each, and the largest difference from what Keras said.

    keras      `Model.predict`                       capi      the SavedModel's graph by the C library, as it is
    signature  `saved_model.load(...).signatures`    served    the worker's scorer
    floor      no model: the products of matrices that it cannot do without, by numpy's BLAS
    members    the worker's scorers of all ten, one after the other, and the mean
    form:NAME  a hand-written form of the model, see `forms`
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable

import numpy as np

from benchmarks.heavy.forms import form
from benchmarks.heavy.models import DAYS, FILTERS, KERNEL, MEMBERS, MINUTES, VALUES, WINDOWS, expected, made, window

Score = Callable[[np.ndarray], "np.ndarray | None"]
"""float32 (1, 10080, 8) -> (1, 8); nothing if no model is computed."""


def _keras(model: str) -> Score:
    keras, _ = _tensorflow()
    loaded = keras.models.load_model(made() / f"{model}.keras")
    return lambda taken: loaded.predict(taken, verbose=0)


def _signature(model: str) -> Score:
    _, tf = _tensorflow()
    loaded = tf.saved_model.load(str(made() / model))
    signature = loaded.signatures["serving_default"]
    (name,) = signature.structured_input_signature[1]

    def score(taken: np.ndarray) -> np.ndarray:
        (answer,) = signature(**{name: tf.constant(taken)}).values()
        return answer.numpy()

    score.model = loaded  # type: ignore[attr-defined]  # it must live as long as its signature
    return score


def _tensorflow():  # type: ignore[no-untyped-def]
    import keras
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    return keras, tf


def _capi(model: str) -> Score:
    from serving.scorers.base import Artifact
    from serving.scorers.tensorflow.saved_model import read_saved_model

    return _session(read_saved_model(Artifact(b"", directory=made() / model)))


def _form(name: str, model: str) -> Score:
    from serving.scorers.base import Artifact
    from serving.scorers.tensorflow.frozen import read_frozen_graph

    payload = form(name, model).read_bytes()
    return _session(read_frozen_graph(Artifact(payload, input_names=("x",), output_names=("y",))))


def _session(graph) -> Score:  # type: ignore[no-untyped-def]
    from serving.scorers.tensorflow.capi import Session
    from serving.scorers.tensorflow.quickening import own_thread_config

    feeds, fetches = ([tensor.reference for tensor in side] for side in (graph.inputs, graph.outputs))
    session = Session(graph.definition, feeds, fetches, own_thread_config(), graph.setup)
    return lambda taken: session.run([taken])[0]


def _served(model: str) -> Score:
    from serving.core.columns import Features
    from serving.scorers.base import Artifact, LoadLimits
    from serving.scorers.tensorflow.engine import SavedModelEngine

    limits = LoadLimits(load_seconds=1800.0)
    scorer = SavedModelEngine().load(Artifact(b"", directory=made() / model, limits=limits))
    print(f"{model}: {scorer.engine}", file=sys.stderr)

    def score(taken: np.ndarray) -> np.ndarray:
        (column,) = scorer.score(Features(taken.reshape(1, -1).astype(np.float64))).columns.values()
        return np.asarray(column)

    return score


def _members(model: str) -> Score:
    scorers = [_served(f"member-{index}") for index in range(MEMBERS)]
    return lambda taken: np.mean([np.asarray(score(taken)) for score in scorers], axis=0)


def _floor(model: str) -> Score:
    random = np.random.default_rng(1)
    width, gates = KERNEL * (VALUES + FILTERS), 4 * FILTERS
    rows = random.normal(size=(MINUTES, width)).astype(np.float32)
    weights = random.normal(size=(width, gates)).astype(np.float32)
    # The first day has no state before it, so its product is that of the input alone.
    first = np.ascontiguousarray(rows[:, : KERNEL * VALUES]), np.ascontiguousarray(weights[: KERNEL * VALUES])
    out = np.empty((MINUTES, gates), np.float32)

    def score(taken: np.ndarray) -> None:
        for _ in range(MEMBERS if model == "ten" else 1):
            np.matmul(*first, out=out)
            for _ in range(DAYS - 1):
                np.matmul(rows, weights, out=out)

    return score


WAYS: dict[str, Callable[[str], Score]] = {
    "keras": _keras,
    "signature": _signature,
    "capi": _capi,
    "served": _served,
    "members": _members,
    "floor": _floor,
}


def _main(way: str, model: str) -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    score = _form(way.removeprefix("form:"), model) if way.startswith("form:") else WAYS[way](model)
    wanted = expected(model)
    windows = [window(index)[None] for index in range(WINDOWS)]
    for each in windows:
        score(each)
    print("ready", flush=True)
    for line in sys.stdin:
        spent, passed, difference = [], [], 0.0
        for turn in range(int(line)):
            cpu, clock = time.process_time(), time.perf_counter()
            answer = score(windows[turn % WINDOWS])
            passed.append((time.perf_counter() - clock) * 1e3)
            spent.append((time.process_time() - cpu) * 1e3)
            if answer is not None:
                difference = max(difference, float(np.abs(answer - wanted[turn % WINDOWS]).max()))
        print(json.dumps({"cpu_ms": spent, "wall_ms": passed, "difference": difference}), flush=True)


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2])
