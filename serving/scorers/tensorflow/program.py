"""A graph as a straight-line program: values that nodes give, and nothing else.

No calls, no loops, no lists, no variables and no control edges: those are gone when a program has been made of a graph
(`straighten`). Equal nodes are one node, so what the turns of a loop have in common is computed once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.core.errors import DamagedModelError
from serving.scorers.tensorflow.capi import CODE_OF, NUMPY_OF, STRING
from serving.scorers.tensorflow.protos import Message, attribute, message_class

Array = NDArray[Any]


class NotStraightError(Exception):
    """The graph has no such program; the message says what stands in the way."""


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One operation. Nodes are equal if they are the same.

    Attributes:
        operation: TensorFlow's name of it.
        inputs: What it takes.
        attributes: Serialized AttrValues by name, in the order of their names.
        name: Of a placeholder, which keeps its own; else empty.
        constant: The value of a constant of numbers, else `None`.
    """

    operation: str
    inputs: tuple[Value, ...] = ()
    attributes: tuple[tuple[str, bytes], ...] = ()
    name: str = ""
    constant: Array | None = None


@dataclass(frozen=True, slots=True)
class Value:
    """Output `index` of a node."""

    node: Node
    index: int = 0

    @property
    def constant(self) -> Array | None:
        """What it is, if that is known."""
        return self.node.constant


@dataclass(slots=True)
class Program:
    """Makes nodes, each only once.

    Attributes:
        most_nodes: More are not made.
        most_bytes: Constants do not take more together.
    """

    most_nodes: int
    most_bytes: int = 512 << 20
    _bytes: int = 0
    _made: dict[object, Node] = field(default_factory=dict)

    def node(self, operation: str, inputs: Iterable[Value], attributes: tuple[tuple[str, bytes], ...]) -> Node:
        """The node that does `operation`.

        Raises:
            NotStraightError: There are `most_nodes` already.
        """
        given = tuple(inputs)
        key = (operation, attributes, tuple((id(value.node), value.index) for value in given))
        node = self._made.get(key)
        if node is None:
            if len(self._made) >= self.most_nodes:
                raise NotStraightError(f"written out it has more than {self.most_nodes} nodes")
            node = self._made[key] = Node(operation, given, attributes)
        return node

    def constant(self, array: Array) -> Value:
        """A constant of numbers or truths.

        Raises:
            NotStraightError: The constants would take more than `most_bytes`.
        """
        held = np.ascontiguousarray(array).reshape(array.shape)
        key = ("Const", held.dtype.str, held.shape, held.tobytes())
        node = self._made.get(key)
        if node is None:
            self._bytes += 2 * held.nbytes  # with the key
            if self._bytes > self.most_bytes:
                raise NotStraightError(f"its constants take more than {self.most_bytes} bytes")
            node = self._made[key] = Node("Const", constant=held)
        return Value(node)


def attributes_of(node: Message) -> tuple[tuple[str, bytes], ...]:
    """The attributes of a NodeDef as `Node` holds them, without the private ones."""
    return tuple(
        (key, node.attr[key].SerializeToString(deterministic=True))
        for key in sorted(node.attr)
        if not key.startswith("_")
    )


def attribute_value(**kinds: Any) -> bytes:
    """An AttrValue: `attribute_value(i=3)`, `attribute_value(type=1)`, `attribute_value(s=b"SAME")`."""
    return bytes(message_class("AttrValue")(**kinds).SerializeToString(deterministic=True))


def in_order(outputs: Iterable[Value]) -> list[Node]:
    """All nodes that `outputs` depend on, each after those that it takes from."""
    ordered: dict[Node, None] = {}
    pending = [(value.node, False) for value in outputs]
    while pending:
        node, is_ready = pending.pop()
        if node in ordered:
            continue
        if is_ready:
            ordered[node] = None
            continue
        pending.append((node, True))
        pending.extend((value.node, False) for value in node.inputs)
    return list(ordered)


def array_of(node: Message) -> Array | None:
    """The value of a `Const` NodeDef; `None` if it does not hold numbers or truths.

    Raises:
        DamagedModelError: It contradicts itself.
    """
    tensor = attribute(node, "value").tensor
    dtype = NUMPY_OF.get(tensor.dtype)
    if dtype is None or tensor.dtype == STRING:
        return None
    shape = tuple(dimension.size for dimension in tensor.tensor_shape.dim)
    count = math.prod(shape)
    if tensor.tensor_content:
        if len(tensor.tensor_content) != count * dtype.itemsize:
            raise DamagedModelError(f"constant {node.name!r} has another size than its shape")
        return np.frombuffer(tensor.tensor_content, dtype).reshape(shape)
    if dtype == np.float16:
        values: Array = np.array(tensor.half_val, np.uint16).view(np.float16)
    else:
        values = np.array(_FIELDS[dtype.kind if dtype.itemsize < 8 else dtype.str[1:]](tensor), dtype)
    if len(values) > count:
        raise DamagedModelError(f"constant {node.name!r} has more values than its shape")
    whole = np.zeros(count, dtype)
    whole[: len(values)] = values
    if len(values):
        whole[len(values) :] = values[-1]  # a message may leave out what repeats at its end
    return whole.reshape(shape)


_FIELDS = {
    "f": lambda tensor: tensor.float_val,
    "f8": lambda tensor: tensor.double_val,
    "i": lambda tensor: tensor.int_val,
    "i8": lambda tensor: tensor.int64_val,
    "u": lambda tensor: tensor.uint32_val or tensor.int_val,
    "b": lambda tensor: tensor.bool_val,
}


def write(outputs: Sequence[Value], versions: Message) -> tuple[bytes, list[str]]:
    """The program as a serialized GraphDef, and the references of `outputs` in it."""
    graph = message_class("GraphDef")()
    graph.versions.CopyFrom(versions)
    names: dict[Node, str] = {}
    for position, node in enumerate(in_order(outputs)):
        names[node] = node.name or f"sluice/{position}"
        written = graph.node.add(name=names[node], op=node.operation)
        written.input.extend(f"{names[value.node]}:{value.index}" for value in node.inputs)
        for key, serialized in node.attributes:
            written.attr[key].ParseFromString(serialized)
        if node.constant is not None:
            _fill(written, node.constant)
    return bytes(graph.SerializeToString()), [f"{names[value.node]}:{value.index}" for value in outputs]


def _fill(node: Message, array: Array) -> None:
    code = CODE_OF[array.dtype]
    node.attr["dtype"].type = code
    tensor = node.attr["value"].tensor
    tensor.dtype = code
    for size in array.shape:
        tensor.tensor_shape.dim.add(size=size)
    tensor.tensor_content = array.tobytes()
