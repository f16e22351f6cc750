"""The screen: what of a graph may reach TensorFlow.

Works on protobuf messages alone. From the wanted outputs it walks the nodes they depend on and every function that any
attribute of those names, and refuses:

* an operation outside the allow-list (`operations`), wherever it stands: in a branch, in a loop, in a function;
* a function that calls itself, and more nodes than the limit when every call is written out: with loops told apart
  (`Part.has_loops`), what is left ends by itself, after a number of operations that is known beforehand;
* constants that take more memory than the artifact limit (ten bytes of protobuf can stand for a terabyte), tensors whose
  contents contradict their shapes, and `Fill` and its like with a constant size over that limit.

It cannot judge how often a loop runs or how large a tensor gets that is sized by data: a time limit stands for the first,
and the second fails in TensorFlow or costs memory.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from serving.core.errors import DamagedModelError, HostileModelError, ModelLimitError, UnsupportedModelError
from serving.scorers.base import LoadLimits
from serving.scorers.tensorflow import operations
from serving.scorers.tensorflow.protos import Message, attribute

_BYTES_OF = {
    1: 4, 2: 8, 3: 4, 4: 1, 5: 2, 6: 1, 7: 24, 8: 8, 9: 8, 10: 1, 11: 1, 12: 1, 13: 4, 14: 2, 15: 2, 16: 2, 17: 2, 18: 16,
    19: 2, 22: 4, 23: 8,
}  # fmt: skip
"""DataType -> bytes an element takes in memory; resources and variants are no constants."""

_MOST_DIMENSIONS = 32
_KEPT_ATTRIBUTES = frozenset({"_lower_using_switch_merge", "_num_original_outputs", "_read_only_resource_inputs"})
_SIZED_BY_INPUT = {"Fill": 0, "BroadcastTo": 1, "ScatterNd": 2}
"""Operation -> which of its inputs is the shape of its output."""


@dataclass(frozen=True, slots=True)
class Part:
    """What some outputs of a graph depend on.

    Attributes:
        nodes: Of the graph itself, by name.
        functions: That these call, directly or not, by name.
        has_loops: It may run without end.
    """

    nodes: Mapping[str, Message]
    functions: Mapping[str, Message]
    has_loops: bool


def operation_of(reference: str) -> str:
    """The node that a reference names: `^a`, `a:1`, `a:out:0` and `a` all name `a`."""
    return reference.removeprefix("^").partition(":")[0]


def nodes_by_name(nodes: Iterable[Message]) -> dict[str, Message]:
    """The nodes under their names.

    Raises:
        DamagedModelError: Two nodes have one name.
    """
    by_name: dict[str, Message] = {}
    for node in nodes:
        if node.name in by_name:
            raise DamagedModelError(f"two nodes of the graph are named {node.name!r}")
        by_name[node.name] = node
    return by_name


def part_of(graph: Message, roots: Iterable[str], stops: Collection[str] = ()) -> Part:
    """What `roots` (tensors or nodes) depend on; what the nodes `stops` depend on is left out.

    Raises:
        DamagedModelError: A node or function that is named somewhere is missing, or is there twice.
    """
    nodes = _reachable(nodes_by_name(graph.node), roots, stops)
    library = {function.signature.name: function for function in graph.library.function}
    functions: dict[str, Message] = {}
    pending = list(_called(nodes.values()))
    while pending:
        name = pending.pop()
        if name not in functions:
            if name not in library:
                raise DamagedModelError(f"the graph calls a function {name!r} that it does not hold")
            functions[name] = library[name]
            pending.extend(_called(library[name].node_def))
    has_loops = any(node.op in operations.LOOPS for node in _all_nodes(nodes, functions))
    return Part(nodes, functions, has_loops)


def screen(part: Part, allowed: frozenset[str], limits: LoadLimits, where: str = "graph") -> None:
    """Refuse `part` if it holds anything that the module's docstring names.

    Raises:
        HostileModelError: An operation that reaches out of the model, a recursion, a constant of no plain type.
        UnsupportedModelError: Another operation that is not in `allowed`.
        ModelLimitError: Too many nodes, too large constants.
        DamagedModelError: A constant or a shape contradicts itself.
    """
    _screen_size(part, limits, where)
    constant_bytes = 0
    for owner, nodes in _bodies(part):
        by_name = nodes_by_name(nodes)
        for node in nodes:
            _screen_operation(node, allowed, owner, where)
            _screen_shapes(node)
            constant_bytes += _constant_bytes(node, limits)
            _screen_fill(node, by_name, limits)
    if constant_bytes > limits.artifact_bytes:
        raise ModelLimitError(
            f"the constants of the {where} take {constant_bytes} bytes in memory; the limit is {limits.artifact_bytes}"
        )


def screen_functions(graph: Message, allowed: frozenset[str], limits: LoadLimits) -> None:
    """Refuse a graph whose library holds a forbidden function, whether anything calls it or not. See `screen`."""
    library = {function.signature.name: function for function in graph.library.function}
    if sum(len(function.node_def) for function in library.values()) > limits.nodes:
        raise ModelLimitError(f"the functions have more than the {limits.nodes} nodes allowed")
    screen(Part({}, library, has_loops=False), allowed, limits, "library of functions")


def write_graph(part: Part, into: Message, versions: Message) -> None:
    """Copy `part` into an empty GraphDef, without devices, private attributes, gradients and debug information."""
    into.versions.CopyFrom(versions)
    for node in part.nodes.values():
        _clean(into.node.add(), node)
    for function in part.functions.values():
        copy = into.library.function.add()
        copy.signature.CopyFrom(function.signature)
        for key in function.ret:
            copy.ret[key] = function.ret[key]
        for key in function.control_ret:
            copy.control_ret[key] = function.control_ret[key]
        for position in function.arg_attr:
            copy.arg_attr[position].CopyFrom(function.arg_attr[position])
        for position in function.resource_arg_unique_id:
            copy.resource_arg_unique_id[position] = function.resource_arg_unique_id[position]
        for node in function.node_def:
            _clean(copy.node_def.add(), node)


def shape_of(shape: Message) -> tuple[int, ...] | None:
    """A TensorShapeProto as a tuple with -1 for an unknown size; `None` if the rank is unknown."""
    return None if shape.unknown_rank else tuple(int(dimension.size) for dimension in shape.dim)


def _clean(copy: Message, node: Message) -> None:
    copy.CopyFrom(node)
    copy.device = ""
    copy.ClearField("experimental_debug_info")
    for key in [key for key in copy.attr if key.startswith("_") and key not in _KEPT_ATTRIBUTES]:
        del copy.attr[key]


def _reachable(nodes: Mapping[str, Message], roots: Iterable[str], stops: Collection[str]) -> dict[str, Message]:
    found: set[str] = set()
    pending = [operation_of(root) for root in roots]
    while pending:
        name = pending.pop()
        if name in found:
            continue
        if name not in nodes:
            raise DamagedModelError(f"the graph refers to a node {name!r} that it does not hold")
        found.add(name)
        if name not in stops:
            pending.extend(operation_of(reference) for reference in nodes[name].input)
    return {name: node for name, node in nodes.items() if name in found}


def _called(nodes: Iterable[Message]) -> Iterator[str]:
    """The functions that nodes name in any attribute."""
    for node in nodes:
        for value in node.attr.values():
            yield from _functions_in(value)


def _functions_in(value: Message) -> Iterator[str]:
    functions = [value.func] if value.WhichOneof("value") == "func" else list(value.list.func)
    for function in functions:
        yield function.name
        for nested in function.attr.values():
            yield from _functions_in(nested)


def _all_nodes(nodes: Mapping[str, Message], functions: Mapping[str, Message]) -> Iterator[Message]:
    yield from nodes.values()
    for function in functions.values():
        yield from function.node_def


def _bodies(part: Part) -> Iterator[tuple[str, list[Message]]]:
    yield "", list(part.nodes.values())
    for name, function in part.functions.items():
        yield name, list(function.node_def)


def _screen_size(part: Part, limits: LoadLimits, where: str) -> None:
    """Count nodes with every call written out; calls form a tree or there is no count."""
    sizes: dict[str, int] = {}
    entered: set[str] = set()
    pending = list(part.functions)
    while pending:
        name = pending[-1]
        calls = list(_called(part.functions[name].node_def))
        missing = next((call for call in calls if call not in part.functions), None)
        if missing is not None:
            raise DamagedModelError(f"function {name!r} of the {where} calls {missing!r}, which is not there")
        waiting = [call for call in calls if call not in sizes]
        if name in sizes:
            pending.pop()
        elif not waiting:
            sizes[name] = len(part.functions[name].node_def) + sum(sizes[call] for call in calls)
            pending.pop()
        elif name in entered:
            raise HostileModelError(f"function {name!r} of the {where} calls itself, so it need never end")
        else:
            entered.add(name)
            pending.extend(waiting)
    total = len(part.nodes) + sum(sizes[call] for call in _called(part.nodes.values()))
    if total > limits.nodes:
        raise ModelLimitError(f"the {where} has {total} nodes with its calls written out; the limit is {limits.nodes}")


def _screen_operation(node: Message, allowed: frozenset[str], owner: str, where: str) -> None:
    if node.op in allowed:
        return
    place = f"node {node.name!r} of function {owner!r}" if owner else f"node {node.name!r}"
    if operations.reaches_out(node.op):
        raise HostileModelError(
            f"operation {node.op} ({place}, {where}) reaches out of the model, which no model may do"
        )
    raise UnsupportedModelError(f"operation {node.op} ({place}, {where}) is not on the list of those a model may use")


def _screen_shapes(node: Message) -> None:
    for key, value in node.attr.items():
        kind = value.WhichOneof("value")
        shapes = [value.shape] if kind == "shape" else list(value.list.shape) if kind == "list" else []
        for shape in shapes:
            _screen_shape(shape, f"attribute {key!r} of node {node.name!r}")


def _screen_shape(shape: Message, what: str) -> int:
    """The number of elements, unknown sizes counted as one."""
    if len(shape.dim) > _MOST_DIMENSIONS or any(dimension.size < -1 for dimension in shape.dim):
        raise DamagedModelError(f"{what} has an impossible shape")
    elements: int = math.prod(max(dimension.size, 0) if dimension.size != -1 else 1 for dimension in shape.dim)
    if elements >= 1 << 48:
        raise ModelLimitError(f"{what} has a shape of {elements} elements")
    return elements


def _constant_bytes(node: Message, limits: LoadLimits) -> int:
    """What the tensors in a node's attributes take in memory, after their contents were compared with their shapes."""
    total = 0
    for key, value in node.attr.items():
        kind = value.WhichOneof("value")
        tensors = [value.tensor] if kind == "tensor" else list(value.list.tensor) if kind == "list" else []
        for tensor in tensors:
            total += tensor_bytes(tensor, f"attribute {key!r} of node {node.name!r}", limits)
    return total


def tensor_bytes(tensor: Message, what: str, limits: LoadLimits) -> int:
    """What a TensorProto takes in memory.

    Raises:
        HostileModelError: Its type is no plain data.
        ModelLimitError: It takes more than `limits.artifact_bytes`.
        DamagedModelError: Its content does not fit its shape.
    """
    if tensor.dtype not in _BYTES_OF:
        raise HostileModelError(
            f"{what} is a constant of TensorFlow's data type {tensor.dtype}, which is no plain data"
        )
    if tensor.tensor_shape.unknown_rank or any(dimension.size < 0 for dimension in tensor.tensor_shape.dim):
        raise DamagedModelError(f"{what} is a constant without a known shape")
    elements = _screen_shape(tensor.tensor_shape, what)
    size = elements * _BYTES_OF[tensor.dtype]
    if size > limits.artifact_bytes:
        raise ModelLimitError(f"{what} expands to {size} bytes; the limit is {limits.artifact_bytes}")
    if tensor.tensor_content and tensor.dtype != 7 and len(tensor.tensor_content) != size:
        raise DamagedModelError(f"{what} holds {len(tensor.tensor_content)} bytes where its shape needs {size}")
    return max(size, int(tensor.ByteSize()))


def _screen_fill(node: Message, by_name: Mapping[str, Message], limits: LoadLimits) -> None:
    position = _SIZED_BY_INPUT.get(node.op)
    if position is None or len(node.input) <= position:
        return
    source = by_name.get(operation_of(node.input[position]))
    while source is not None and source.op == "Identity" and source.input:
        source = by_name.get(operation_of(source.input[0]))
    if source is None or source.op != "Const":
        return
    elements = math.prod(max(size, 0) for size in integers_of(attribute(source, "value").tensor))
    if elements * 8 > limits.artifact_bytes:
        raise ModelLimitError(f"node {node.name!r} ({node.op}) makes a tensor of {elements} elements")


def integers_of(tensor: Message) -> list[int]:
    """The values of an int32 or int64 TensorProto, repeated ones written once if the message writes them once."""
    if tensor.tensor_content:
        width = _BYTES_OF.get(tensor.dtype, 4)
        content = bytes(tensor.tensor_content)
        pieces = (content[start : start + width] for start in range(0, len(content), width))
        return [int.from_bytes(piece, "little", signed=True) for piece in pieces]
    values = list(tensor.int_val) or list(tensor.int64_val)
    elements = math.prod(dimension.size for dimension in tensor.tensor_shape.dim)
    if values and len(values) < elements <= _MOST_DIMENSIONS:
        values += values[-1:] * (elements - len(values))
    return [int(value) for value in values]
