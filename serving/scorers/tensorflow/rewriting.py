"""Making a program anew, node by node, and what has to be known of its convolutions for that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from serving.scorers.courtesy import pause
from serving.scorers.tensorflow.program import Array, Node, Program, Value, attribute_value, in_order
from serving.scorers.tensorflow.protos import message_class

_STRIDE = 32
"""Nodes between two pauses: the threads that score need the interpreter."""


@dataclass(frozen=True, slots=True)
class Convolution:
    """A convolution by constant filters, perhaps of a sequence: with an axis of size one put in and taken out again.

    Attributes:
        source: What is convolved.
        filters: float32 (height, width, channels in, channels out).
        attributes: Of the `Conv2D`.
        expand: The `ExpandDims` before it, if there is one.
        squeeze: The `Squeeze` behind it, if there is one.
    """

    source: Value
    filters: Array
    attributes: tuple[tuple[str, bytes], ...]
    expand: Node | None
    squeeze: Node | None

    @property
    def kind(self) -> object:
        """Equal for convolutions that may become one."""
        wrapped: object = None
        if self.expand is not None and self.squeeze is not None:
            wrapped = (self.expand.inputs[1], self.squeeze.attributes)
        return self.filters.shape[:2], self.attributes, wrapped


def convolution_of(value: Value) -> Convolution | None:
    """The convolution by constant filters that a value is, without a bias; `None` if it is something else."""
    node = value.node
    squeeze = node if node.operation == "Squeeze" else None
    convolution = squeeze.inputs[0].node if squeeze is not None else node
    if convolution.operation != "Conv2D":
        return None
    source, filters = convolution.inputs
    attributes = dict(convolution.attributes)
    is_plain = (
        attributes.get("T") == float_type()
        and filters.constant is not None
        and bool(np.isfinite(filters.constant).all())
        and _text(attributes.get("data_format", b"")) in (b"", b"NHWC")
    )
    if not is_plain:
        return None
    assert filters.constant is not None
    expand = source.node if squeeze is not None and source.node.operation == "ExpandDims" else None
    if squeeze is not None:
        if expand is None:
            return None
        source = expand.inputs[0]
    return Convolution(source, filters.constant, convolution.attributes, expand, squeeze)


def _text(serialized: bytes) -> bytes:
    return bytes(message_class("AttrValue").FromString(serialized).s)


class Rewriting:
    """Goes through a program from its inputs on, and makes each node anew from the new ones of what it takes.

    Attributes:
        uses: How often each node is taken from, the outputs included.
        rewritten: The outputs.
    """

    def __init__(self, program: Program, outputs: Sequence[Value]) -> None:
        self.program = program
        self._new: dict[Node, Sequence[Value]] = {}
        ordered = in_order(outputs)
        self.uses = Counter(value.node for node in ordered for value in node.inputs)
        self.uses.update(value.node for value in outputs)
        self.prepare(ordered)
        for place, node in enumerate(ordered):
            if place % _STRIDE == 0:
                pause()
            self._new[node] = self.replace(node) or self.remake(node)
        self.rewritten = [self.new(value) for value in outputs]

    def prepare(self, ordered: Sequence[Node]) -> None:
        """See all nodes before the first is made."""

    def replace(self, node: Node) -> Sequence[Value] | None:
        """What stands for the outputs of `node`; `None` if it stays as it is."""
        raise NotImplementedError

    def new(self, value: Value) -> Value:
        """What stands for `value` now."""
        return self._new[value.node][value.index]

    def remake(self, node: Node) -> Sequence[Value]:
        """The same operation on what its inputs have become."""
        if not node.inputs:
            return _Outputs(node)
        return _Outputs(self.program.node(node.operation, [self.new(value) for value in node.inputs], node.attributes))

    def convolve(self, one: Convolution, source: Value, filters: Array, bias: Array | None) -> Value:
        """A convolution of the same kind as `one`."""
        if one.expand is not None:
            source = Value(self.program.node("ExpandDims", [source, one.expand.inputs[1]], one.expand.attributes))
        value = Value(self.program.node("Conv2D", [source, self.program.constant(filters)], one.attributes))
        if bias is not None:
            # Next to the convolution, TensorFlow makes one kernel of the two.
            value = Value(self.program.node("BiasAdd", [value, self.program.constant(bias)], of_type()))
        if one.squeeze is not None:
            value = Value(self.program.node("Squeeze", [value], one.squeeze.attributes))
        return value


class _Outputs(Sequence[Value]):
    """The outputs of a node, however many it has."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def __getitem__(self, index):  # type: ignore[no-untyped-def]  # never sliced
        return Value(self._node, index)

    def __len__(self) -> int:
        return 1


@cache
def float_type() -> bytes:
    """The AttrValue of float32."""
    return attribute_value(type=1)


def of_type(**others: bytes) -> tuple[tuple[str, bytes], ...]:
    """The attributes of an operation on float32, and its others."""
    return tuple(sorted({"T": float_type(), **others}.items()))


def biased(value: Value) -> tuple[Convolution, Array | None] | None:
    """The convolution that a value is, as `Rewriting.convolve` makes it, and its bias."""
    node = value.node
    if node.operation == "Squeeze" and node.inputs[0].node.operation == "BiasAdd":
        biased = node.inputs[0].node
        inside = biased.inputs[0].node
        if inside.operation != "Conv2D" or inside.inputs[0].node.operation != "ExpandDims":
            return None
        found = convolution_of(Value(Node("Squeeze", (Value(inside),), node.attributes)))
        return (found, biased.inputs[1].constant) if found is not None else None
    if node.operation == "BiasAdd":
        found = convolution_of(node.inputs[0])
        return (found, node.inputs[1].constant) if found is not None and found.squeeze is None else None
    found = convolution_of(value)
    return (found, None) if found is not None else None
