"""What a model takes and gives, as it was read from the model itself.

A signature is made by the worker's scorer, travels in the worker's report on the control log, and is served over REST.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

DType = Literal["float32", "float64", "int32", "int64", "bool", "string"]


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One named input or output.

    Attributes:
        name: The model's own name for it.
        dtype: Element type.
        shape: Without the batch axis: `()` for a scalar per record, `(11,)` for a vector; -1 is unknown.
        categories: The values that a categorical input or a class label may take, in the model's order; empty if free.
    """

    name: str
    dtype: DType
    shape: tuple[int, ...] = ()
    categories: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FeatureSlot:
    """One scalar that a record must supply.

    Attributes:
        name: The feature's name, or `None` where the model has only a vector and names nothing: such slots are filled
            in order, from a mapping that the descriptor or the stream's settings give.
        is_text: The value is a string (a category); otherwise it is a number.
        is_optional: The model says itself what a missing value means (NaN in the matrix, -1 among the codes).
    """

    name: str | None
    is_text: bool = False
    is_optional: bool = False


@dataclass(frozen=True, slots=True)
class Signature:
    """Inputs and outputs of a model, and the scalars of a record that its inputs are made of.

    Attributes:
        inputs: In the model's order.
        outputs: In the model's order.
        slots: The record's features in the order in which the scorer expects them: the numeric ones are, in this order,
            the columns of `Features.matrix`; the text ones are the entries of `Features.texts`.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    slots: tuple[FeatureSlot, ...]
