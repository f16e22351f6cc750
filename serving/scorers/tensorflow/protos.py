"""TensorFlow's own protobuf messages, without TensorFlow.

The wheel holds generated modules (`tensorflow/core/framework/graph_pb2.py`), but importing one runs `tensorflow/__init__`
first. Each such module is one literal, the serialized file descriptor, handed to a pool. The literals are read from the source
text, never executed, and go into a pool of our own: no module is registered anywhere and no class is shared with a
TensorFlow that the process may import before or after.

The classes are dynamic, hence `Any`: what they hold is checked where it is read (`screen`, `saved_model`, `bundle`).
"""

from __future__ import annotations

import ast
import importlib
import threading
from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from serving.core.errors import DamagedModelError, EngineUnavailableError
from serving.scorers.tensorflow.library import package_folder

Message = Any
"""An instance of a dynamic message class."""

_FILES = (
    "tensorflow/core/framework/graph.proto",
    "tensorflow/core/protobuf/saved_model.proto",
    "tensorflow/core/protobuf/tensor_bundle.proto",
    "tensorflow/core/protobuf/config.proto",
)

_DESCRIPTOR_LINE = "DESCRIPTOR = _descriptor_pool.Default().AddSerializedFile("


# `cache` lets two threads make the first call at once; messages of two pools do not mix.
_one_pool = threading.Lock()


@cache
def message_class(name: str) -> Any:
    """The class of message `tensorflow.<name>`: `message_class("GraphDef")`.

    Raises:
        EngineUnavailableError: TensorFlow is not installed, or its protobuf modules look otherwise than expected.
    """
    with _one_pool:
        pool = _pool()
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"tensorflow.{name}"))


def parse(name: str, data: bytes, what: str) -> Message:
    """`data` as a message `tensorflow.<name>`.

    Raises:
        DamagedModelError: The bytes are no such message; the error calls them `what`.
    """
    try:
        return message_class(name).FromString(data)
    except (DecodeError, ValueError) as error:  # ValueError: a string that is not UTF-8
        raise DamagedModelError(f"{what} is not a whole {name} message ({len(data)} bytes): {error}") from error


def attribute(node: Message, key: str) -> Message:
    """The AttrValue `key` of a NodeDef, an empty one if it has none. (Indexing the map itself would add it to the node.)"""
    return node.attr[key] if key in node.attr else message_class("AttrValue")()


@cache
def _pool() -> descriptor_pool.DescriptorPool:
    root = package_folder().parent
    pool = descriptor_pool.DescriptorPool()
    done: set[str] = set()
    for name in _FILES:
        _add(pool, name, root, done)
    return pool


def _add(pool: descriptor_pool.DescriptorPool, name: str, root: Path, done: set[str]) -> None:
    """Add a file after the files it depends on."""
    if name in done:
        return
    done.add(name)
    serialized = _serialized(name, root)
    for dependency in descriptor_pb2.FileDescriptorProto.FromString(serialized).dependency:
        _add(pool, dependency, root, done)
    pool.AddSerializedFile(serialized)


def _serialized(name: str, root: Path) -> bytes:
    if name.startswith("google/protobuf/"):
        module = importlib.import_module(name.removesuffix(".proto").replace("/", ".") + "_pb2")
        return bytes(module.DESCRIPTOR.serialized_pb)
    folder = root / "tensorflow" / "compiler" if name.startswith("xla/") else root  # where the wheel keeps XLA's
    source = folder / (name.removesuffix(".proto") + "_pb2.py")
    try:
        for line in source.read_text(encoding="utf-8").splitlines():
            if line.startswith(_DESCRIPTOR_LINE):
                return bytes(ast.literal_eval(line.removeprefix(_DESCRIPTOR_LINE).removesuffix(")")))
    except (OSError, SyntaxError, ValueError, TypeError) as error:
        raise EngineUnavailableError(f"cannot read TensorFlow's {source}: {error}") from error
    raise EngineUnavailableError(f"{source} holds no file descriptor; this TensorFlow is not one we know")
