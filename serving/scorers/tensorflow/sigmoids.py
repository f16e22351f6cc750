"""Sigmoids of convolutions become hyperbolic tangents, which TensorFlow computes in half the time.

    sigmoid(x)  =  tanh(x / 2) / 2 + 1 / 2

The half that goes into the argument goes into the filters, where it changes nothing but exponents. 46,080 numbers take a
sigmoid 39 us and a hyperbolic tangent 20, multiplying or adding takes 6 (TensorFlow 2.21 without AVX-512, one core; part of a
trace of the ensemble of ten in docs/heavy-models.md).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from serving.scorers.tensorflow.program import Node, Program, Value
from serving.scorers.tensorflow.rewriting import Rewriting, biased, float_type, of_type

_HALF = np.float32(0.5)


def halve(program: Program, outputs: Sequence[Value]) -> list[Value]:
    """`outputs` with other operations in the place of sigmoids of convolutions.

    Raises:
        NotStraightError: The program has no room for more nodes.
    """
    return _Sigmoids(program, outputs).rewritten


class _Sigmoids(Rewriting):
    """See the module."""

    def replace(self, node: Node) -> Sequence[Value] | None:
        """See `Rewriting.replace`."""
        if node.operation != "Sigmoid" or dict(node.attributes).get("T") != float_type():
            return None
        found = biased(node.inputs[0])
        if found is None or not self._is_used_once(node.inputs[0].node):
            return None
        convolution, bias = found
        source, filters = self.new(convolution.source), convolution.filters * _HALF
        half = self.program.constant(np.array(_HALF))
        value = self.convolve(convolution, source, filters, None if bias is None else bias * _HALF)
        for operation, others in (("Tanh", []), ("Mul", [half]), ("AddV2", [half])):
            value = Value(self.program.node(operation, [value, *others], of_type()))
        return [value]

    def _is_used_once(self, node: Node) -> bool:
        """Nobody else needs the convolution: it would be computed twice."""
        while node.operation != "Conv2D":
            if self.uses[node] != 1:
                return False
            node = node.inputs[0].node
        return self.uses[node] == 1
