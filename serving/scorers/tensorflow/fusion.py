"""Convolutions that are summed, or read the same tensor, become one.

The four gates of a convolutional LSTM take eight convolutions a step: of the input x and of the state h, each gate with
filters of its own. Convolution is linear, so for filters that are constants

    conv(x, W) + conv(h, U) + b  =  bias(conv(concat(x, h), concat(W, U)), b)      the sum of a gate
    conv(z, V1), ..., conv(z, V4)  =  split(conv(z, concat(V1, ..., V4)))          the gates

and one convolution is left, which is a larger product of matrices and so a better use of the processor. A convolution of
nothing but zeros, as of the first state, is nothing. In between, sigmoids of convolutions become something quicker
(`sigmoids`). Sums are taken in another order than before, so results differ in the last bits; where the rules do not hold
(two shapes that are stretched to fit each other) running the program shows it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from serving.scorers.tensorflow.program import Array, Node, Program, Value, attribute_value
from serving.scorers.tensorflow.rewriting import Convolution, Rewriting, biased, convolution_of, float_type, of_type
from serving.scorers.tensorflow.sigmoids import halve

_SUMS = frozenset({"Add", "AddV2", "BiasAdd"})
_MOST_TOGETHER = 4
"""The gates of an LSTM. Ten members of an ensemble read the same input; their 40 convolutions together write more than a
cache holds, and the whole takes a quarter longer than with four by four (measured: 69 ms instead of 53)."""


def fuse(program: Program, outputs: Sequence[Value]) -> list[Value]:
    """`outputs` from fewer convolutions.

    Raises:
        NotStraightError: The program has no room for more nodes.
    """
    return _Siblings(program, halve(program, _Sums(program, outputs).rewritten)).rewritten


class _Sums(Rewriting):
    """Sums of convolutions and biases."""

    def replace(self, node: Node) -> Sequence[Value] | None:
        """See `Rewriting.replace`."""
        if node.operation not in _SUMS or dict(node.attributes).get("T") != float_type():
            return None
        terms = self._terms(Value(node))
        found = [(term, self._own_convolution(term)) for term in terms]
        live = [convolution for _, convolution in found if convolution is not None and not _is_zero(convolution.source)]
        if not live or len({convolution.kind for convolution in live}) != 1:
            return None
        widths = {convolution.filters.shape[3] for _, convolution in found if convolution is not None}
        if len(widths) != 1:
            return None
        constants = [term for term, convolution in found if convolution is None]
        biases = [_bias(term, *widths) for term in constants]
        others = [term for term, bias in zip(constants, biases, strict=True) if bias is None]
        summed = self._joined(live, [bias for bias in biases if bias is not None])
        for other in others:
            summed = Value(self.program.node("AddV2", [summed, self.new(other)], of_type()))
        return [summed]

    def _own_convolution(self, term: Value) -> Convolution | None:
        """The convolution that `term` is, if nothing else needs it: it would be computed twice."""
        inner = term.node.inputs[0].node if term.node.operation == "Squeeze" else term.node
        return convolution_of(term) if self.uses[term.node] == self.uses[inner] == 1 else None

    def _terms(self, value: Value) -> list[Value]:
        """What is added up to `value`; a sum that is also used elsewhere is one term."""
        terms: list[Value] = []
        pending = list(reversed(value.node.inputs))
        while pending:
            term = pending.pop()
            if term.node.operation in _SUMS and self.uses[term.node] == 1:
                pending.extend(reversed(term.node.inputs))
            else:
                terms.append(term)
        return terms

    def _joined(self, convolutions: Sequence[Convolution], biases: Sequence[Array]) -> Value:
        sources = [self.new(convolution.source) for convolution in convolutions]
        filters = np.concatenate([convolution.filters for convolution in convolutions], axis=2)
        source = sources[0]
        if len(sources) > 1:
            axis = self.program.constant(np.array(-1, np.int32))
            count = attribute_value(i=len(sources))
            source = Value(
                self.program.node("ConcatV2", [*sources, axis], of_type(N=count, Tidx=attribute_value(type=3)))
            )
        return self.convolve(convolutions[0], source, filters, np.add.reduce(biases) if biases else None)


def _bias(value: Value, width: int) -> Array | None:
    """A constant that adds the same to every place, as float32 (width,)."""
    constant = value.constant
    if constant is None or constant.dtype != np.float32 or constant.size != width or constant.ndim == 0:
        return None
    return constant.reshape(width) if constant.shape[-1] == width else None


def _is_zero(value: Value) -> bool:
    node = value.node
    if node.operation == "ZerosLike":
        return True
    if node.operation == "Fill":
        filling = node.inputs[1].constant
        return filling is not None and not filling.any()
    return node.constant is not None and not node.constant.any()


class _Siblings(Rewriting):
    """Convolutions of one tensor."""

    def prepare(self, ordered: Sequence[Node]) -> None:
        """See `Rewriting.prepare`."""
        groups: defaultdict[object, list[tuple[Node, Convolution, Array | None]]] = defaultdict(list)
        for node in ordered:
            found = biased(Value(node))
            if found is not None:
                convolution, bias = found
                key = (convolution.source, convolution.filters.shape[2], convolution.kind, bias is None)
                groups[key].append((node, convolution, bias))
        inner = {value.node for node in ordered for value in node.inputs if node.operation in ("BiasAdd", "Squeeze")}
        self._groups = {}
        for group in groups.values():
            single = [member for member in group if member[0] not in inner]
            for start in range(0, len(single), _MOST_TOGETHER):
                members = single[start : start + _MOST_TOGETHER]
                shared: list[Value] = []
                for place, (node, _, _) in enumerate(members if len(members) > 1 else []):
                    self._groups[node] = (members, shared, place)

    def replace(self, node: Node) -> Sequence[Value] | None:
        """See `Rewriting.replace`."""
        if node not in self._groups:
            return None
        members, shared, place = self._groups[node]
        if not shared:
            shared.extend(self._joined(members))
        return [shared[place]]

    def _joined(self, members: Sequence[tuple[Node, Convolution, Array | None]]) -> list[Value]:
        first = members[0][1]
        filters = np.concatenate([convolution.filters for _, convolution, _ in members], axis=3)
        biases = [bias for _, _, bias in members if bias is not None]
        whole = self.convolve(first, self.new(first.source), filters, np.concatenate(biases) if biases else None)
        sizes = np.array([convolution.filters.shape[3] for _, convolution, _ in members], np.int32)
        count, axis = attribute_value(i=len(members)), self.program.constant(np.array(-1, np.int32))
        if (sizes == sizes[0]).all():
            split = self.program.node("Split", [axis, whole], of_type(num_split=count))
        else:
            attributes = of_type(num_split=count, Tlen=attribute_value(type=3))
            split = self.program.node("SplitV", [whole, self.program.constant(sizes), axis], attributes)
        return [Value(split, place) for place in range(len(members))]
