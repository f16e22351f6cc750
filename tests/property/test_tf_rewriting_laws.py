"""Whatever convolutions are added up and cut apart, the fused graph gives the same."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.scorers.tensorflow.capi import Session
from serving.scorers.tensorflow.protos import message_class, parse
from serving.scorers.tensorflow.quickening import rewritten, straight_config
from serving.scorers.tensorflow.servable import ServableGraph, Tensor

FLOAT = 1


class Graph:
    """A GraphDef in the making."""

    def __init__(self):
        self.definition = message_class("GraphDef")()
        self.definition.versions.producer = 2000

    def add(self, operation, *inputs, **attributes):
        node = self.definition.node.add(op=operation, name=f"n{len(self.definition.node)}")
        node.input.extend(inputs)
        node.attr["T"].type = FLOAT
        for key, value in attributes.items():
            node.attr[key].CopyFrom(message_class("AttrValue")(**value))
        return node.name

    def constant(self, array):
        node = self.definition.node.add(op="Const", name=f"n{len(self.definition.node)}")
        node.attr["dtype"].type = FLOAT if array.dtype == np.float32 else 3
        tensor = node.attr["value"].tensor
        tensor.dtype = node.attr["dtype"].type
        for size in array.shape:
            tensor.tensor_shape.dim.add(size=size)
        tensor.tensor_content = array.tobytes()
        return node.name

    def placeholder(self, name):
        node = self.definition.node.add(op="Placeholder", name=name)
        node.attr["dtype"].type = FLOAT

    def convolution(self, source, filters, stride, is_sequence):
        if is_sequence:
            source = self.add("ExpandDims", source, self.constant(np.array(-3, np.int32)), Tdim={"type": 3})
        value = self.add(
            "Conv2D",
            source,
            self.constant(filters),
            strides={"list": {"i": [1, 1 if is_sequence else stride, stride, 1]}},
            padding={"s": b"SAME"},
        )
        return self.add("Squeeze", value, squeeze_dims={"list": {"i": [-3]}}) if is_sequence else value


@st.composite
def sums_of_convolutions(draw):
    """A graph of several sums over convolutions of `a`, `b` and of zeros, and its outputs; with it, the inputs."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    is_sequence = draw(st.booleans())
    size = (2, 9, 3) if is_sequence else (2, 6, 5, 3)
    graph = Graph()
    for name in "ab":
        graph.placeholder(name)
    zeros = graph.add("ZerosLike", "a")
    width, height, stride = draw(st.integers(1, 3)), 1 if is_sequence else 2, draw(st.integers(1, 2))
    outputs = []
    for _ in range(draw(st.integers(1, 6))):
        terms = []
        for source in draw(st.lists(st.sampled_from(["a", "b", zeros]), min_size=1, max_size=4)):
            filters = random.normal(size=(height, draw(st.sampled_from([1, 3, 3])), 3, width)).astype(np.float32)
            terms.append(graph.convolution(source, filters, stride, is_sequence))
        if draw(st.booleans()):
            shape = draw(st.sampled_from([(width,), (1, 1, width), (1,)]))
            terms.append(graph.constant(random.normal(size=shape).astype(np.float32)))
        if outputs and draw(st.booleans()):
            terms.append(outputs[-1])
        whole = terms[0]
        for term in draw(st.permutations(terms[1:])):
            whole = graph.add("AddV2", *draw(st.permutations([whole, term])))
        outputs.append(whole)
        if draw(st.booleans()):
            outputs.append(graph.add("Sigmoid", whole))
            if draw(st.booleans()):
                outputs.remove(whole)  # so that nobody but the sigmoid needs it
    outputs.append(graph.add("AddV2", "a", "b"))  # so that neither can be found to be of no use
    arrays = [random.normal(size=size).astype(np.float32) for _ in "ab"]
    if draw(st.booleans()):
        arrays[0].reshape(-1)[draw(st.integers(0, 50))] = np.nan
    return graph.definition, outputs, arrays


def servable(definition, names):
    outputs = tuple(Tensor(name, f"{name}:0", FLOAT, None) for name in names)
    inputs = tuple(Tensor(name, f"{name}:0", FLOAT, None) for name in "ab")
    return ServableGraph(definition.SerializeToString(), inputs, outputs, has_loops=False)


def run(graph, arrays):
    feeds, fetches = ([tensor.reference for tensor in side] for side in (graph.inputs, graph.outputs))
    session = Session(graph.definition, feeds, fetches, straight_config())
    try:
        return session.run(arrays)
    finally:
        session.close()


@settings(max_examples=60, deadline=None)
@given(sums_of_convolutions())
def test_fused_convolutions_give_what_the_separate_ones_gave(made):
    definition, names, arrays = made
    graph = servable(definition, names)

    before, after = run(graph, arrays), run(rewritten(graph), arrays)

    for one, other in zip(before, after, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-5, atol=1e-5)


@settings(max_examples=60, deadline=None)
@given(sums_of_convolutions())
def test_fusion_never_adds_a_convolution(made):
    definition, names, _ = made

    after = parse("GraphDef", rewritten(servable(definition, names)).definition, "the graph")

    assert sum(node.op == "Conv2D" for node in after.node) <= sum(node.op == "Conv2D" for node in definition.node)
