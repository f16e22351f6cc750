"""What can be known of a node's outputs before anything is run: arithmetic on constants, in numpy.

Only what steers a loop or shapes a weight: whole numbers, truths, and the cutting and joining of arrays. Floating-point
arithmetic is left to TensorFlow, so that a program computes no number that TensorFlow would not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from serving.scorers.tensorflow.program import Array
from serving.scorers.tensorflow.protos import Message, message_class

_MOST_BYTES = 64 << 20


def fold(operation: str, attributes: Mapping[str, bytes], inputs: Sequence[Array]) -> list[Array] | None:
    """The outputs of `operation` on constants; `None` if they are to be computed when the model runs."""
    rule = _CUTTING.get(operation)
    if rule is None and all(array.dtype.kind in "iub" for array in inputs):
        rule = _WHOLE.get(operation)
    if rule is None or sum(array.nbytes for array in inputs) > _MOST_BYTES:
        return None
    read = {key: message_class("AttrValue").FromString(value) for key, value in attributes.items()}
    try:
        with np.errstate(all="raise"):
            return rule(_Attributes(read), *inputs)
    except (ArithmeticError, ValueError, IndexError, TypeError, KeyError):
        return None  # TensorFlow will say what is wrong with it


class _Attributes:
    def __init__(self, read: Mapping[str, Message]) -> None:
        self._read = read

    def number(self, key: str) -> int:
        return int(self._read[key].i) if key in self._read else 0

    def is_set(self, key: str) -> bool:
        return key in self._read and bool(self._read[key].b)

    def numbers(self, key: str) -> list[int]:
        return list(self._read[key].list.i) if key in self._read else []


Rule = Callable[..., list[Array] | None]


def _elementwise(compute: Callable[..., Array]) -> Rule:
    return lambda attributes, *inputs: [np.asarray(compute(*inputs))]


def _expand(attributes: _Attributes, array: Array, axis: Array) -> list[Array]:
    return [np.expand_dims(array, int(axis.reshape(())))]


def _squeeze(attributes: _Attributes, array: Array) -> list[Array]:
    axes = attributes.numbers("squeeze_dims")
    return [np.squeeze(array, tuple(axes) if axes else None)]


def _split(attributes: _Attributes, axis: Array, array: Array) -> list[Array]:
    return np.split(array, attributes.number("num_split"), int(axis))


def _split_sizes(attributes: _Attributes, array: Array, sizes: Array, axis: Array) -> list[Array]:
    return np.split(array, np.cumsum(sizes)[:-1], int(axis)) if (sizes >= 0).all() else _refuse()


def _pack(attributes: _Attributes, *arrays: Array) -> list[Array]:
    return [np.stack(arrays, attributes.number("axis"))]


def _concat(attributes: _Attributes, *arrays: Array) -> list[Array]:
    return [np.concatenate(arrays[:-1], int(arrays[-1]))]


def _strided(attributes: _Attributes, array: Array, begin: Array, end: Array, stride: Array) -> list[Array]:
    if attributes.number("ellipsis_mask") or attributes.number("new_axis_mask"):
        _refuse()
    begin_mask, end_mask = attributes.number("begin_mask"), attributes.number("end_mask")
    shrink = attributes.number("shrink_axis_mask")
    index: list[int | slice] = []
    for axis, (first, last, step) in enumerate(zip(begin.tolist(), end.tolist(), stride.tolist(), strict=True)):
        bit = 1 << axis
        if shrink & bit:
            index.append(first)
        else:
            index.append(slice(None if begin_mask & bit else first, None if end_mask & bit else last, step))
    return [np.asarray(array[tuple(index)])]


def _reduction(compute: Callable[..., Array]) -> Rule:
    def reduce(attributes: _Attributes, array: Array, axes: Array) -> list[Array]:
        along = tuple(np.atleast_1d(axes).tolist())
        return [np.asarray(compute(array, along, keepdims=attributes.is_set("keep_dims")))]

    return reduce


def _range(attributes: _Attributes, start: Array, limit: Array, delta: Array) -> list[Array]:
    return [np.array(range(int(start), int(limit), int(delta)), start.dtype)]


def _refuse() -> list[Array]:
    raise ValueError


_CUTTING: Mapping[str, Rule] = MappingProxyType(
    {
        "ExpandDims": _expand,
        "Squeeze": _squeeze,
        "Split": _split,
        "SplitV": _split_sizes,
        "Pack": _pack,
        "ConcatV2": _concat,
        "StridedSlice": _strided,
        "Reshape": lambda attributes, array, shape: [array.reshape(shape)],
        "Transpose": lambda attributes, array, order: [np.transpose(array, order)],
    }
)
"""They move numbers and change none, so they may take any."""

_WHOLE: Mapping[str, Rule] = MappingProxyType(
    {
        "Add": _elementwise(np.add),
        "AddV2": _elementwise(np.add),
        "Sub": _elementwise(np.subtract),
        "Mul": _elementwise(np.multiply),
        "Maximum": _elementwise(np.maximum),
        "Minimum": _elementwise(np.minimum),
        "Less": _elementwise(np.less),
        "LessEqual": _elementwise(np.less_equal),
        "Greater": _elementwise(np.greater),
        "GreaterEqual": _elementwise(np.greater_equal),
        "Equal": _elementwise(np.equal),
        "NotEqual": _elementwise(np.not_equal),
        "LogicalAnd": _elementwise(np.logical_and),
        "LogicalOr": _elementwise(np.logical_or),
        "LogicalNot": _elementwise(np.logical_not),
        "Range": _range,
        "Max": _reduction(lambda array, axes, keepdims: array.max(axes, keepdims=keepdims)),
        "Min": _reduction(lambda array, axes, keepdims: array.min(axes, keepdims=keepdims)),
        "Prod": _reduction(lambda array, axes, keepdims: np.prod(array, axes, array.dtype, keepdims=keepdims)),
    }
)
"""On whole numbers and truths only. Python and TensorFlow agree on them as long as nothing overflows."""
