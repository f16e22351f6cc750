"""The same model, written by hand in other ways: frozen graphs, made in a child process that has TensorFlow.

joined     one convolution a day, of input and state together: what the loader makes of a SavedModel
hoisted    the input's convolutions of all days at once, before the first day
products   as `joined`, but the patches are copied side by side and multiplied as matrices
cell       TensorFlow's LSTM cell on patches: all gates in one kernel
stacked    `hoisted` for all members at once: one convolution of the input, one batch of products a day
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from benchmarks.heavy.models import DAYS, FILTERS, KERNEL, MEMBERS, MINUTES, STEPS, VALUES, made

FORMS = ("joined", "hoisted", "products", "cell", "stacked")
_GATES = 4 * FILTERS


def form(name: str, model: str) -> Path:
    """The frozen graph `name` of `one` or `ten`: placeholder `x`, output `y`."""
    folder = made() / "forms"
    if not (folder / "done").exists():
        folder.mkdir(exist_ok=True)
        command = [sys.executable, "-m", "benchmarks.heavy.forms", str(folder)]
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"the forms could not be made: {done.stderr[-2_000:]}")
        (folder / "done").touch()
    return folder / f"{model}-{name}.pb"


def _patches(tf, rows):  # type: ignore[no-untyped-def]
    """(n, minutes, channels) -> (n, minutes, 3 channels): each minute with its neighbours."""
    padded = tf.pad(rows, [[0, 0], [1, 1], [0, 0]])
    return tf.concat([padded[:, shift : shift + MINUTES] for shift in range(KERNEL)], -1)


def _step(tf, gates, cell):  # type: ignore[no-untyped-def]
    keep, forget, new, out = tf.split(gates, 4, -1)
    cell = tf.sigmoid(keep) * tf.tanh(new) + (0.0 if cell is None else tf.sigmoid(forget) * cell)
    return tf.sigmoid(out) * tf.tanh(cell), cell


def _member(tf, form: str, weights, days):  # type: ignore[no-untyped-def]
    of_input, of_state, bias, dense, offset = weights
    state = cell = None
    if form == "joined":
        both = np.concatenate([of_input, of_state], 1)
        for day in tf.unstack(days, DAYS, 1):
            filters = of_input if state is None else both
            seen = day if state is None else tf.concat([day, state], -1)
            state, cell = _step(tf, tf.nn.bias_add(tf.nn.conv1d(seen, filters, 1, "SAME"), bias), cell)
    elif form == "hoisted":
        flat = tf.reshape(tf.transpose(days, [1, 0, 2, 3]), [-1, MINUTES, VALUES])
        whole = tf.nn.bias_add(tf.nn.conv1d(flat, of_input, 1, "SAME"), bias)
        for gates in tf.unstack(tf.reshape(whole, [DAYS, -1, MINUTES, _GATES]), DAYS):
            added = gates if state is None else gates + tf.nn.conv1d(state, of_state, 1, "SAME")
            state, cell = _step(tf, added, cell)
    elif form == "products":
        both = np.concatenate([of_input.reshape(-1, _GATES), of_state.reshape(-1, _GATES)])
        for day in tf.unstack(days, DAYS, 1):
            seen = _patches(tf, day)
            matrix = both[: KERNEL * VALUES] if state is None else both
            seen = seen if state is None else tf.concat([seen, _patches(tf, state)], -1)
            product = tf.nn.bias_add(tf.matmul(tf.reshape(seen, [-1, len(matrix)]), matrix), bias)
            state, cell = _step(tf, tf.reshape(product, [-1, MINUTES, _GATES]), cell)
    else:
        order = np.r_[0:FILTERS, 2 * FILTERS : 3 * FILTERS, FILTERS : 2 * FILTERS, 3 * FILTERS : 4 * FILTERS]
        rows = [of_input.reshape(-1, _GATES), of_state[0], of_state[2], of_state[1]]
        matrix, zero = np.concatenate(rows)[:, order], tf.zeros([FILTERS])
        state = cell = tf.zeros([tf.shape(days)[0] * MINUTES, FILTERS])
        for day in tf.unstack(days, DAYS, 1):
            padded = tf.pad(tf.reshape(state, [-1, MINUTES, FILTERS]), [[0, 0], [1, 1], [0, 0]])
            seen = tf.concat([_patches(tf, day), padded[:, :MINUTES], padded[:, 2:]], -1)
            done = tf.raw_ops.LSTMBlockCell(
                x=tf.reshape(seen, [-1, KERNEL * VALUES + 2 * FILTERS]), cs_prev=cell, h_prev=state, w=matrix,
                wci=zero, wcf=zero, wco=zero, b=bias[order], forget_bias=0.0, cell_clip=-1.0, use_peephole=False,
            )  # fmt: skip
            cell, state = done.cs, done.h
        state = tf.reshape(state, [-1, MINUTES, FILTERS])
    return tf.matmul(tf.reduce_mean(state, 1), dense) + offset


def _stacked(tf, members, days):  # type: ignore[no-untyped-def]
    count = len(members)
    of_input = np.concatenate([weights[0] for weights in members], -1)
    of_state = np.stack([weights[1].reshape(-1, _GATES) for weights in members])
    flat = tf.reshape(tf.transpose(days, [1, 0, 2, 3]), [-1, MINUTES, VALUES])
    whole = tf.nn.bias_add(tf.nn.conv1d(flat, of_input, 1, "SAME"), np.concatenate([each[2] for each in members]))
    whole = tf.transpose(tf.reshape(whole, [DAYS, -1, MINUTES, count, _GATES]), [0, 3, 1, 2, 4])
    state = cell = None
    for gates in tf.unstack(whole, DAYS):
        if state is not None:
            seen = _patches(tf, tf.reshape(state, [-1, MINUTES, FILTERS]))
            product = tf.matmul(tf.reshape(seen, [count, -1, KERNEL * FILTERS]), of_state)
            gates = gates + tf.reshape(product, [count, -1, MINUTES, _GATES])
        state, cell = _step(tf, gates, cell)
    mean = tf.reduce_mean(state, 2)
    answers = (
        tf.matmul(mean, np.stack([each[3] for each in members])) + np.stack([each[4] for each in members])[:, None]
    )
    return tf.reduce_mean(answers, 0)


def _make(folder: Path) -> None:
    import keras
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    members = [keras.models.load_model(made() / f"member-{index}.keras").get_weights() for index in range(MEMBERS)]
    for model, some in (("one", members[:1]), ("ten", members)):
        for name in FORMS:
            taken = tf.TensorSpec([None, STEPS, VALUES], tf.float32, name="x")
            concrete = tf.function(_answer_by(tf, name, some), autograph=False).get_concrete_function(taken)
            frozen = convert_variables_to_constants_v2(concrete).graph.as_graph_def()
            (folder / f"{model}-{name}.pb").write_bytes(frozen.SerializeToString())


def _answer_by(tf, form: str, members):  # type: ignore[no-untyped-def]
    def answer(x):  # type: ignore[no-untyped-def]
        days = tf.reshape(x, [-1, DAYS, MINUTES, VALUES])
        if form == "stacked":
            mean = _stacked(tf, members, days)
        else:
            mean = tf.add_n([_member(tf, form, weights, days) for weights in members]) / len(members)
        return tf.identity(mean, name="y")

    return answer


if __name__ == "__main__":
    _make(Path(sys.argv[1]))
