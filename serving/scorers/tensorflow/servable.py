"""A graph that may be served: screened, pruned, with its inputs and outputs named."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tensor:
    """One input or output of a servable graph.

    Attributes:
        name: What people call it: the argument of a signature, or the node of a frozen graph.
        reference: What TensorFlow calls it: `dense_1/MatMul:0`.
        dtype: TensorFlow's DataType.
        shape: With the batch axis, -1 for an unknown size; `None` if even the rank is unknown.
    """

    name: str
    reference: str
    dtype: int
    shape: tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class ServableGraph:
    """What a session is made of.

    Attributes:
        definition: A serialized GraphDef that passed the screen.
        inputs: In the order in which features fill them.
        outputs: In the order in which they are reported.
        has_loops: It may run without end, so it needs an executor that can be interrupted.
        setup: The operation that fills the variables, to be run once; `None` if there are none.
        are_outputs_guessed: Nobody named the outputs, so those among them that are no predictions may be left out.
    """

    definition: bytes
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    has_loops: bool
    setup: str | None = None
    are_outputs_guessed: bool = False
