"""Models made with real TensorFlow, and what real TensorFlow says of them.

Importing TensorFlow takes seconds and half a gigabyte, so it is done once, in one process (this file run as a script), which
writes all models and the expected values; they are kept in pytest's cache folder under the digest of this file. The tests
themselves never import TensorFlow.

    <case>/frozen.pb                a frozen graph, or
    <case>/saved_model/             a SavedModel
    <case>/expected.npz             `in:<name>` and `out:<name>`, arrays by the names of the signature
    evil/<case>.pb, evil/<case>/    models that must be refused
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

ROWS = 2016
"""Of references: all have whole blocks of rows (serving/scorers/tensorflow/blocks.py), because on some processors TensorFlow
itself gives the rows of other batches other last bits."""


@dataclass(frozen=True)
class Case:
    """A good model: where it is, and inputs and outputs by name."""

    name: str
    folder: Path

    @property
    def is_frozen(self) -> bool:
        return (self.folder / "frozen.pb").exists()

    @property
    def frozen(self) -> bytes:
        return (self.folder / "frozen.pb").read_bytes()

    @property
    def saved_model(self) -> Path:
        return self.folder / "saved_model"

    def expected(self) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        with np.load(self.folder / "expected.npz") as file:
            arrays = {name: file[name] for name in file.files}
        inputs = {name.removeprefix("in:"): array for name, array in arrays.items() if name.startswith("in:")}
        outputs = {name.removeprefix("out:"): array for name, array in arrays.items() if name.startswith("out:")}
        return inputs, outputs


FROZEN = (
    "wine",
    "wide_table",
    "named_scalars",
    "sequence",
    "whole_numbers",
    "texts",
    "picky",
    "first_loop",
    "second_loop",
    "data_loop",
)
SAVED = (
    "reference_variables",
    "resource_variables",
    "keras_mlp",
    "keras_lstm",
    "keras_conv_lstm",
    "keras_conv_ensemble",
    "keras_conv_grid",
    "two_signatures",
    "saved_texts",
)
HEAVY = "keras_heavy_ensemble"
"""Takes milliseconds a record."""
EVIL_FROZEN = (
    "read_file", "write_file", "print", "matching_files", "read_file_in_branch", "debug_identity", "py_function",
    "dataset", "endless_first_loop", "endless_second_loop", "huge_fill", "fill_by_shape", "splat", "recursion", "explosion",
    "changes_rows", "one_row", "no_batch", "random",
)  # fmt: skip
EVIL_SAVED = ("load_time_write", "table_from_file", "read_file_in_cond", "saved_write_file", "unused_write_file")


def case(name: str) -> Case:
    return Case(name, corpus() / name)


@cache
def corpus() -> Path:
    """The folder with all models; builds them the first time."""
    digest = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]
    folder = Path(__file__).parents[1] / ".pytest_cache" / "d" / "tensorflow_models" / digest
    if not folder.exists():
        fresh = folder.with_name(f"{digest}-{os.getpid()}")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        environment = {
            **os.environ,
            "CUDA_VISIBLE_DEVICES": "-1",
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "KERAS_BACKEND": "tensorflow",
        }
        done = subprocess.run(
            [sys.executable, __file__, str(fresh)], env=environment, capture_output=True, text=True, timeout=240
        )
        if done.returncode != 0:
            raise RuntimeError(f"building the models failed:\n{done.stdout[-3000:]}\n{done.stderr[-6000:]}")
        try:
            fresh.rename(folder)
        except OSError:  # another run was quicker
            shutil.rmtree(fresh)
    return folder


# Below here runs in the building process alone.


def build(folder: Path) -> None:
    import tensorflow as tf

    # Several threads share the rows of a batch, in blocks of sizes that nobody knows.
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    np.random.seed(7)
    tf.keras.utils.set_random_seed(7)
    for name in FROZEN:
        (folder / name).mkdir()
        _build_frozen(tf, name, folder / name)
    for name in SAVED:
        (folder / name).mkdir()
        globals()[f"_{name}"](tf, folder / name)
    (folder / HEAVY).mkdir()
    _keras_heavy_ensemble(tf, folder / HEAVY)
    evil = folder / "evil"
    evil.mkdir()
    for name in EVIL_FROZEN:
        (evil / f"{name}.pb").write_bytes(_evil_graph(tf, name).SerializeToString())
    for name in EVIL_SAVED:
        globals()[f"_{name}"](tf, evil / name)


def _numbers(*shape):
    return np.random.normal(size=shape).astype(np.float32)


def _dense(tf, x, inputs, outputs, activation):
    return activation(
        tf.nn.bias_add(tf.matmul(x, tf.constant(_numbers(inputs, outputs))), tf.constant(_numbers(outputs)))
    )


def _build_frozen(tf, name, folder):
    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph:
        inputs, outputs = globals()[f"_{name}"](tf, v1)
        outputs = {tensor.op.name: tensor for tensor in outputs}
        with v1.Session() as session:
            values = session.run(outputs, {f"{key}:0": _fed(value) for key, value in inputs.items()})
    definition = graph.as_graph_def()
    if name == "wine":
        for node in definition.node:
            if node.op == "Placeholder":
                del node.attr["shape"]
    (folder / "frozen.pb").write_bytes(definition.SerializeToString())
    _write(folder, inputs, values)


def _write(folder, inputs, outputs):
    arrays = {f"in:{key}": _plain(value) for key, value in inputs.items()}
    arrays |= {f"out:{key}": _plain(value) for key, value in outputs.items()}
    np.savez(folder / "expected.npz", **arrays)


def _fed(value):
    return np.array([text.encode() for text in value], object) if value.dtype == object else value


def _plain(value):
    value = np.asarray(value)
    if value.dtype != object:
        return value
    return np.array([text.decode() if isinstance(text, bytes) else text for text in value.flat]).reshape(value.shape)


def _wine(tf, v1):
    x = v1.placeholder(tf.float32, [None, 11], name="chemistry")
    hidden = _dense(tf, x, 11, 12, tf.nn.relu)
    hidden = _dense(tf, hidden, 12, 12, tf.nn.relu)
    quality = _dense(tf, hidden, 12, 9, tf.sigmoid)
    return {"chemistry": np.abs(_numbers(ROWS, 11)) * 5}, [quality]


def _wide_table(tf, v1):
    x = v1.placeholder(tf.float32, [None, 300], name="features")
    hidden = _dense(tf, x, 300, 256, tf.tanh)
    first = tf.nn.softmax(_dense(tf, hidden, 256, 10, tf.identity), name="classes")
    second = tf.argmax(first, 1, name="best")
    return {"features": _numbers(ROWS, 300)}, [first, second]


def _named_scalars(tf, v1):
    age = v1.placeholder(tf.float32, [None], name="age")
    weight = v1.placeholder(tf.float64, [None, 1], name="weight")
    total = tf.add(tf.cast(age, tf.float64) * 2, tf.squeeze(weight, [1]), name="total")
    return {"age": _numbers(ROWS), "weight": _numbers(ROWS, 1).astype(np.float64)}, [total]


def _sequence(tf, v1):
    x = v1.placeholder(tf.float32, [None, 16, 8], name="steps")
    flat = tf.reshape(x, [-1, 128])
    out = tf.reshape(_dense(tf, flat, 128, 12, tf.tanh), [-1, 4, 3], name="grid")
    return {"steps": _numbers(ROWS, 16, 8)}, [out]


def _whole_numbers(tf, v1):
    small = v1.placeholder(tf.int32, [None, 2], name="small")
    large = v1.placeholder(tf.int64, [None], name="large")
    tiny = v1.placeholder(tf.uint8, [None], name="tiny")
    flag = v1.placeholder(tf.bool, [None], name="flag")
    table = tf.constant(_numbers(50, 4))
    embedded = tf.reduce_sum(tf.gather(table, small), [1, 2], name="embedded")
    doubled = tf.multiply(large, 2, name="doubled")
    next_tiny = tf.add(tiny, tf.constant(1, tf.uint8), name="next_tiny")
    opposite = tf.logical_not(flag, name="opposite")
    inputs = {
        "small": np.random.randint(0, 50, (ROWS, 2)).astype(np.int32),
        "large": np.random.randint(-(2**40), 2**40, ROWS).astype(np.int64),
        "tiny": np.random.randint(0, 255, ROWS).astype(np.uint8),
        "flag": np.random.randint(0, 2, ROWS).astype(bool),
    }
    return inputs, [embedded, doubled, next_tiny, opposite]


def _texts(tf, v1):
    colour = v1.placeholder(tf.string, [None], name="colour")
    amount = v1.placeholder(tf.float32, [None], name="amount")
    is_red = tf.cast(tf.equal(colour, "red"), tf.int32)
    price = tf.multiply(amount, tf.cast(is_red + 1, tf.float32), name="price")
    labels = tf.constant(["a label that is much longer than twenty-four bytes", "rot ist schön"])
    label = tf.gather(labels, is_red, name="label")
    echo = tf.strings.join([colour, "!"], name="echo")
    words = np.array(["red", "white", "", "rosé", "a colour with a name longer than twenty-two bytes"], object)
    return {"colour": words[np.arange(ROWS) % 5], "amount": _numbers(ROWS)}, [price, label, echo]


def _picky(tf, v1):
    """One negative record makes TensorFlow refuse its whole batch."""
    x = v1.placeholder(tf.float32, [None, 3], name="x")
    root = v1.check_ops.assert_non_negative(x) if hasattr(v1, "check_ops") else v1.debugging.assert_non_negative(x)
    with tf.control_dependencies([root]):
        out = tf.reduce_sum(tf.sqrt(x), 1, name="root")
    return {"x": np.abs(_numbers(ROWS, 3))}, [out]


def _first_loop(tf, v1):
    v1.disable_control_flow_v2()
    x = v1.placeholder(tf.float32, [None, 4], name="x")
    _, out = tf.while_loop(lambda i, _: i < 5, lambda i, value: (i + 1, tf.tanh(value) * 1.5), [0, x])
    return {"x": _numbers(ROWS, 4)}, [tf.identity(out, name="looped")]


def _second_loop(tf, v1):
    v1.enable_control_flow_v2()
    x = v1.placeholder(tf.float32, [None, 4], name="x")
    _, out = tf.while_loop(lambda i, _: i < 5, lambda i, value: (i + 1, tf.tanh(value) * 1.5), [0, x])
    return {"x": _numbers(ROWS, 4)}, [tf.identity(out, name="looped")]


def _data_loop(tf, v1):
    """Loops until the largest value of the batch is small: a single infinity never ends."""
    v1.enable_control_flow_v2()
    x = v1.placeholder(tf.float32, [None], name="x")
    out = tf.while_loop(lambda value: tf.reduce_max(value) > 1.0, lambda value: (value / 2,), [x])
    return {"x": np.abs(_numbers(ROWS)) / 8}, [
        tf.identity(out[0] if isinstance(out, (list, tuple)) else out, name="halved")
    ]


def _tensorflow_one(tf, folder, use_resource):
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 11], name="x")
        value = x
        for layer, (width, activation) in enumerate([(12, tf.nn.relu), (9, tf.sigmoid)]):
            with v1.variable_scope(f"layer{layer}", use_resource=use_resource):
                kernel = v1.get_variable(
                    "kernel", [int(value.shape[1]), width], initializer=v1.random_normal_initializer(seed=1)
                )
                bias = v1.get_variable("bias", [width], initializer=v1.random_normal_initializer(seed=2))
            value = activation(tf.matmul(value, kernel) + bias)
        session.run(v1.global_variables_initializer())
        v1.saved_model.simple_save(session, str(folder / "saved_model"), {"chemistry": x}, {"quality": value})
        sample = np.abs(_numbers(ROWS, 11))
        _write(folder, {"chemistry": sample}, {"quality": session.run(value, {x: sample})})


def _reference_variables(tf, folder):
    _tensorflow_one(tf, folder, use_resource=False)


def _resource_variables(tf, folder):
    _tensorflow_one(tf, folder, use_resource=True)


def _export(tf, folder, model, sample):
    model.export(str(folder / "saved_model"), verbose=False)
    signature = tf.saved_model.load(str(folder / "saved_model")).signatures["serving_default"]
    (name,) = signature.structured_input_signature[1]
    outputs = signature(**{name: tf.constant(sample)})
    _write(folder, {name: sample}, {key: value.numpy() for key, value in outputs.items()})


def _keras_mlp(tf, folder):
    layers = tf.keras.layers
    model = tf.keras.Sequential(
        [
            layers.Input((64,)),
            layers.Dense(256, "relu"),
            layers.BatchNormalization(),
            layers.Dense(256, "relu"),
            layers.Dense(10, "softmax"),
        ]
    )
    _export(tf, folder, model, _numbers(ROWS, 64))


def _keras_lstm(tf, folder):
    layers = tf.keras.layers
    model = tf.keras.Sequential([layers.Input((12, 3)), layers.LSTM(8), layers.Dense(2)])
    _export(tf, folder, model, _numbers(72, 12, 3))


def _keras_conv_lstm(tf, folder):
    layers = tf.keras.layers
    model = tf.keras.Sequential(
        [layers.Input((4, 16, 2)), layers.ConvLSTM1D(4, 3, padding="same"), layers.Flatten(), layers.Dense(3)]
    )
    _export(tf, folder, model, _numbers(48, 4, 16, 2))


def _keras_conv_ensemble(tf, folder):
    layers = tf.keras.layers
    window = layers.Input((5, 16, 2))
    answers = [
        layers.Dense(3)(layers.Flatten()(layers.ConvLSTM1D(filters, 3, padding="same", return_sequences=whole)(window)))
        for filters, whole in ((4, False), (4, True), (6, False))
    ]
    model = tf.keras.Model(window, layers.Average()(answers))
    _with_biases(model)
    _export(tf, folder, model, _numbers(48, 5, 16, 2))


def _keras_conv_grid(tf, folder):
    layers = tf.keras.layers
    film = layers.Input((3, 6, 6, 2))
    seen = layers.ConvLSTM2D(4, 3, strides=2, padding="valid", go_backwards=True)(film)
    heads = [layers.Conv2D(width, 2, padding="same")(seen) for width in (2, 3)]
    model = tf.keras.Model(film, layers.Flatten()(layers.Concatenate()(heads)))
    _with_biases(model)
    _export(tf, folder, model, _numbers(16, 3, 6, 6, 2))


def _keras_heavy_ensemble(tf, folder):
    layers = tf.keras.layers
    window = layers.Input((7 * 480, 8))
    days = layers.Reshape((7, 480, 8))(window)
    answers = [
        layers.Dense(4)(layers.GlobalAveragePooling1D()(layers.ConvLSTM1D(32, 3, padding="same")(days)))
        for _ in range(4)
    ]
    model = tf.keras.Model(window, layers.Average()(answers))
    _with_biases(model)
    _export(tf, folder, model, _numbers(3, 7 * 480, 8))


def _with_biases(model):
    """Keras begins with biases of zero and one, which hide what is wrong with them."""
    random = np.random.default_rng(5)
    model.set_weights(
        [weight + random.normal(0, 0.1, weight.shape).astype(weight.dtype) for weight in model.get_weights()]
    )


def _two_signatures(tf, folder):
    class Module(tf.Module):
        def __init__(self):
            super().__init__()
            self.weight = tf.Variable(_numbers(3))

        @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.float32, name="x")])
        def weigh(self, x):
            return {"weighed": x * self.weight}

        @tf.function(
            input_signature=[tf.TensorSpec([None], tf.float32, name="b"), tf.TensorSpec([None], tf.float32, name="a")]
        )
        def subtract(self, b, a):
            return {"difference": b - a}

    module = Module()
    tf.saved_model.save(
        module, str(folder / "saved_model"), {"weigh": module.weigh, "serving_default": module.subtract}
    )
    a, b, x = _numbers(ROWS), _numbers(ROWS), _numbers(ROWS, 3)
    weighed = module.weigh(tf.constant(x))["weighed"].numpy()
    _write(folder, {"a": a, "b": b, "x": x}, {"difference": b - a, "weighed": weighed})


def _saved_texts(tf, folder):
    class Module(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="colour")])
        def label(self, colour):
            return {"label": tf.where(tf.equal(colour, "red"), "warm and longer than twenty-two bytes", "cold")}

    module = Module()
    tf.saved_model.save(module, str(folder / "saved_model"), {"serving_default": module.label})
    colours = np.array(["red", "blue"], object)[np.arange(50) % 2]
    _write(folder, {"colour": colours}, {"label": module.label(tf.constant(colours))["label"].numpy()})


def _evil_graph(tf, name):
    v1 = tf.compat.v1
    if name in ("recursion", "explosion"):
        return _evil_functions(tf, name)
    v1.disable_control_flow_v2() if "first" in name else v1.enable_control_flow_v2()
    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.float32, [None, 2], name="x")
        match name:
            case "read_file":
                y = tf.strings.to_number(tf.io.read_file("/etc/hostname")) + x
            case "write_file":
                with tf.control_dependencies([tf.io.write_file("/tmp/sluice-evil-frozen", "evil")]):
                    y = x + 1
            case "print":
                with tf.control_dependencies([tf.print("evil")]):
                    y = x + 1
            case "matching_files":
                y = x + tf.cast(tf.size(tf.io.matching_files("/etc/*")), tf.float32)
            case "read_file_in_branch":
                y = tf.cond(
                    tf.reduce_sum(x) > 1e9,
                    lambda: tf.strings.to_number(tf.io.read_file("/etc/hostname")) + x,
                    lambda: x,
                )
            case "debug_identity":
                y = tf.raw_ops.DebugIdentity(input=x, debug_urls=["file:///tmp/sluice-evil-debug"])
            case "py_function":
                y = tf.numpy_function(lambda value: value, [x], tf.float32)
            case "dataset":
                dataset = tf.raw_ops.TextLineDataset(filenames="/etc/hostname", compression_type="", buffer_size=1)
                y = x + tf.cast(tf.raw_ops.DatasetCardinality(input_dataset=dataset), tf.float32)
            case "endless_first_loop" | "endless_second_loop":
                (y,) = tf.nest.flatten(tf.while_loop(lambda v: tf.reduce_sum(v) > -1e9, lambda v: tf.abs(v) + 0.0, [x]))
            case "huge_fill":
                y = x + tf.reduce_sum(tf.fill([1 << 20, 1 << 20], 1.0))
            case "fill_by_shape":
                y = x + tf.reduce_sum(tf.fill(tf.stack([tf.shape(x)[1] * (1 << 19), 1 << 20]), 1.0))
            case "splat":
                y = x + tf.reduce_sum(tf.constant(1.0, shape=[16]))
            case "changes_rows":
                y = tf.concat([x, x], 0)
            case "one_row":
                y = tf.reduce_sum(x, 0)
            case "no_batch":
                y = tf.add(v1.placeholder(tf.float32, [3, 2], name="fixed"), 1.0)
            case "random":
                y = x + tf.random.uniform([2])
        tf.identity(y, name="y")
    definition = graph.as_graph_def()
    if name == "splat":
        for node in definition.node:
            if node.op == "Const" and node.attr["dtype"].type == 1 and node.attr["value"].tensor.tensor_shape.dim:
                tensor = node.attr["value"].tensor
                tensor.ClearField("tensor_content")
                tensor.ClearField("float_val")
                tensor.float_val.append(1.0)
                tensor.tensor_shape.dim[0].size = 10**9
    return definition


def _evil_functions(tf, name):
    """Functions that call each other: one itself, or each the next twice, forty deep."""
    from tensorflow.core.framework import graph_pb2

    graph = graph_pb2.GraphDef()
    graph.versions.producer = 1882
    x = graph.node.add(name="x", op="Placeholder")
    x.attr["dtype"].type = 1
    x.attr["shape"].shape.dim.add(size=-1)
    depth = 1 if name == "recursion" else 40
    for level in range(depth):
        function = graph.library.function.add()
        function.signature.name = f"f{level}"
        function.signature.input_arg.add(name="a", type=1)
        function.signature.output_arg.add(name="b", type=1)
        following = f"f{level + 1}" if level + 1 < depth else "f0" if name == "recursion" else None
        last = "a"
        for call in range(2):
            node = function.node_def.add(name=f"call{call}", op="PartitionedCall" if following else "Neg")
            node.input.append(last)
            if following:
                node.attr["Tin"].list.type.append(1)
                node.attr["Tout"].list.type.append(1)
                node.attr["f"].func.name = following
                last = f"call{call}:output:0"
            else:
                node.attr["T"].type = 1
                last = f"call{call}:y:0"
        function.ret["b"] = last
    call = graph.node.add(name="y", op="PartitionedCall", input=["x"])
    call.attr["Tin"].list.type.append(1)
    call.attr["Tout"].list.type.append(1)
    call.attr["f"].func.name = "f0"
    return graph


def _load_time_write(tf, folder):
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 2], name="x")
        y = x + 1.0
        write = tf.io.write_file("/tmp/sluice-evil-load", "evil")
        builder = v1.saved_model.builder.SavedModelBuilder(str(folder))
        signature = v1.saved_model.predict_signature_def({"x": x}, {"y": y})
        builder.add_meta_graph_and_variables(session, ["serve"], {"serving_default": signature}, main_op=write)
        builder.save()


def _table_from_file(tf, folder):
    vocabulary = folder.parent / "vocabulary.txt"
    vocabulary.write_text("red\nwhite\n")

    class Module(tf.Module):
        def __init__(self):
            super().__init__()
            initializer = tf.lookup.TextFileInitializer(
                str(vocabulary),
                tf.string,
                tf.lookup.TextFileIndex.WHOLE_LINE,
                tf.int64,
                tf.lookup.TextFileIndex.LINE_NUMBER,
            )
            self.table = tf.lookup.StaticHashTable(initializer, -1)

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="colour")])
        def find(self, colour):
            return {"index": self.table.lookup(colour)}

    module = Module()
    tf.saved_model.save(module, str(folder), {"serving_default": module.find})


def _save_function(tf, folder, function):
    module = tf.Module()
    module.function = tf.function(function, input_signature=[tf.TensorSpec([None, 2], tf.float32, name="x")])
    tf.saved_model.save(module, str(folder), {"serving_default": module.function.get_concrete_function()})
    return module


def _read_file_in_cond(tf, folder):
    def function(x):
        return tf.cond(
            tf.reduce_sum(x) > 1e9, lambda: tf.strings.to_number(tf.io.read_file("/etc/hostname")) + x, lambda: x
        )

    _save_function(tf, folder, function)


def _saved_write_file(tf, folder):
    def function(x):
        tf.io.write_file("/tmp/sluice-evil-saved", "evil")
        return x + 1.0

    _save_function(tf, folder, function)


def _unused_write_file(tf, folder):
    module = tf.Module()
    spec = [tf.TensorSpec([None, 2], tf.float32, name="x")]
    module.good = tf.function(lambda x: x + 1.0, input_signature=spec)

    def evil(x):
        tf.io.write_file("/tmp/sluice-evil-unused", "evil")
        return x

    module.evil = tf.function(evil, input_signature=spec)
    signatures = {"serving_default": module.good.get_concrete_function(), "other": module.evil.get_concrete_function()}
    tf.saved_model.save(module, str(folder), signatures)


if __name__ == "__main__":
    build(Path(sys.argv[1]))
