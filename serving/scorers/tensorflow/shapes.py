"""The width of an input that does not tell it, found from what consumes it.

A frozen graph often has placeholders without a shape. If such a tensor meets the constant operand of a matrix product, a
vector that is added to it, or a constant reshape, its width is known after all. Each step keeps the last axis as it is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from serving.scorers.tensorflow.protos import Message, attribute
from serving.scorers.tensorflow.screen import integers_of, operation_of, shape_of

_KEEPS_WIDTH = frozenset(
    {"Identity", "Cast", "StopGradient", "CheckNumerics", "Relu", "Tanh", "Sigmoid", "ClipByValue"}
)
_MEETS_VECTOR = frozenset({"Sub", "Add", "AddV2", "Mul", "RealDiv", "Div", "BiasAdd", "Maximum", "Minimum"})


def width_of(name: str, nodes: Mapping[str, Message]) -> int | None:
    """How many numbers a record must supply for the placeholder `name`; `None` if no consumer tells."""
    seen: set[str] = set()
    pending = [name]
    while pending:
        current = pending.pop(0)
        if current in seen:
            continue
        seen.add(current)
        for node in nodes.values():
            for position, reference in enumerate(node.input):
                if operation_of(reference) != current or reference.startswith("^"):
                    continue
                width = _told_by(node, position, nodes)
                if width is not None:
                    return width
                if node.op in _KEEPS_WIDTH or node.op in _MEETS_VECTOR:
                    pending.append(node.name)
    return None


def _told_by(node: Message, position: int, nodes: Mapping[str, Message]) -> int | None:
    if len(node.input) < 2 or position > 1:
        return None
    other = _constant(node.input[1 - position], nodes)
    if other is None:
        return None
    shape = shape_of(other.tensor_shape) or ()
    if node.op == "MatMul" and position == 0 and len(shape) == 2 and not attribute(node, "transpose_a").b:
        return shape[1] if attribute(node, "transpose_b").b else shape[0]
    if node.op in _MEETS_VECTOR and shape and shape[-1] > 1 and math.prod(shape) == shape[-1]:
        return shape[-1]
    if node.op == "Reshape" and position == 0:
        sizes = integers_of(other)
        if len(sizes) > 1 and sizes[0] == -1 and min(sizes[1:]) > 0:
            return math.prod(sizes[1:])
    return None


def _constant(reference: str, nodes: Mapping[str, Message]) -> Message | None:
    node = nodes.get(operation_of(reference))
    for _ in range(8):
        if node is None or node.op not in ("Identity", "ReadVariableOp") or not node.input:
            break
        node = nodes.get(operation_of(node.input[0]))
    return attribute(node, "value").tensor if node is not None and node.op == "Const" else None
