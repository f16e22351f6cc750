"""Any number of small models, each another one: PMML trees, and TensorFlow graphs written node by node.

Both take the fields of `records`: eleven doubles. A tree is a regression of depth three; a graph is one matrix product and a
bias over a float32 vector.
"""

from __future__ import annotations

import struct

from benchmarks.size.records import FEATURES
from serving.scorers.tensorflow.protos import message_class

_FLOAT = 1  # DT_FLOAT of TensorFlow's types.proto


def tree_document(number: int) -> bytes:
    """A PMML regression tree with eight leaves, whose values say which model it is."""
    fields = "".join(f'<DataField name="{name}" optype="continuous" dataType="double"/>' for name in FEATURES)
    used = "".join(f'<MiningField name="{name}"/>' for name in FEATURES)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<PMML xmlns="http://www.dmg.org/PMML-4_4" version="4.4">'
        f'<Header description="tree {number}"/><DataDictionary>{fields}'
        '<DataField name="score" optype="continuous" dataType="double"/></DataDictionary>'
        '<TreeModel functionName="regression" splitCharacteristic="binarySplit">'
        f'<MiningSchema>{used}<MiningField name="score" usageType="target"/></MiningSchema>'
        f'<Node score="0"><True/>{_branches(number, 0, 10.0, 5.0)}</Node></TreeModel></PMML>\n'
    ).encode()


def _branches(number: int, depth: int, middle: float, half: float) -> str:
    field = FEATURES[(number + depth) % len(FEATURES)]
    found = ""
    for operator, inner in (("lessOrEqual", middle - half), ("greaterThan", middle + half)):
        below = _branches(number, depth + 1, inner, half / 2) if depth < 2 else ""
        found += (
            f'<Node score="{number + inner}"><SimplePredicate field="{field}" operator="{operator}" value="{middle}"/>'
            f"{below}</Node>"
        )
    return found


def frozen_graph(number: int) -> bytes:
    """`score = features @ weights + bias`, with weights of one and the model's number as the bias."""
    graph = message_class("GraphDef")()
    placeholder = graph.node.add(name="features", op="Placeholder")
    placeholder.attr["dtype"].type = _FLOAT
    shape = placeholder.attr["shape"].shape
    shape.dim.add(size=-1)
    shape.dim.add(size=len(FEATURES))
    _constant(graph, "weights", [1.0] * len(FEATURES), (len(FEATURES), 1))
    _constant(graph, "bias", [float(number)], (1,))
    product = graph.node.add(name="product", op="MatMul", input=["features", "weights"])
    product.attr["T"].type = _FLOAT
    product.attr["transpose_a"].b = product.attr["transpose_b"].b = False
    score = graph.node.add(name="score", op="BiasAdd", input=["product", "bias"])
    score.attr["T"].type = _FLOAT
    value: bytes = graph.SerializeToString(deterministic=True)
    return value


def _constant(graph: object, name: str, values: list[float], shape: tuple[int, ...]) -> None:
    node = graph.node.add(name=name, op="Const")  # type: ignore[attr-defined]  # a dynamic message
    node.attr["dtype"].type = _FLOAT
    tensor = node.attr["value"].tensor
    tensor.dtype = _FLOAT
    for size in shape:
        tensor.tensor_shape.dim.add(size=size)
    tensor.tensor_content = struct.pack(f"<{len(values)}f", *values)
