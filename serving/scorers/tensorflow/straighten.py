"""A servable graph -> a straight-line program: calls, loops, lists and variables are worked out beforehand.

A function call is replaced by the function's nodes. A variable is never written when a model serves, so it is a constant. A
loop whose condition depends on constants alone is written out turn by turn, as the recurrent layers of Keras are: their
number of steps is in the shape of the input. A list (`TensorList...`) is then one of Python's, whose items are values.

What cannot be worked out is no error: the graph is served as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np

from serving.scorers.courtesy import pause
from serving.scorers.tensorflow import capi, operations
from serving.scorers.tensorflow.folding import fold
from serving.scorers.tensorflow.program import (
    Node,
    NotStraightError,
    Program,
    Value,
    array_of,
    attribute_value,
    attributes_of,
)
from serving.scorers.tensorflow.protos import Message, attribute, message_class, parse
from serving.scorers.tensorflow.screen import operation_of
from serving.scorers.tensorflow.servable import ServableGraph

_MOST_TURNS = 2_000
"""Of all loops together."""
_STRIDE = 32
"""Nodes between two pauses, about half a millisecond of work: the threads that score need the interpreter."""
_MOST_NODES = 60_000
"""A session for more nodes takes TensorFlow more than half a minute to make."""


@dataclass(frozen=True, slots=True)
class _List:
    """A tensor list: its items, `None` where one is not set yet; or the rows of a tensor, as yet uncut."""

    items: tuple[Value | None, ...] = ()
    rows_of: Value | None = None


@dataclass(frozen=True, slots=True)
class _Variable:
    """A resource handle, by the name of its node."""

    name: str


_Thing = Value | _List | _Variable


def straighten(graph: ServableGraph) -> tuple[Program, list[Value]]:
    """The program of `graph`, and its outputs in the graph's order.

    Raises:
        NotStraightError: It has none; the message says why.
        DamagedModelError: A constant contradicts itself.
    """
    definition = parse("GraphDef", graph.definition, "the graph")
    writer = _Writer(definition)
    return writer.program, writer.outputs([tensor.reference for tensor in graph.outputs])


@dataclass(frozen=True, slots=True)
class _Function:
    """A function of the graph: names of its arguments, its nodes by name, references of its results."""

    arguments: tuple[str, ...]
    nodes: Mapping[str, Message]
    results: tuple[str, ...]


@dataclass(slots=True)
class _Body:
    """The nodes of a graph or a function, and what each gave so far."""

    nodes: Mapping[str, Message]
    given: dict[str, list[_Thing]]

    def find(self, reference: str) -> _Thing:
        name, _, rest = reference.partition(":")
        things = self.given[name]
        if name not in self.nodes or not rest:
            return things[0]  # an argument, or the first output
        part, _, index = rest.rpartition(":")
        position = int(index) + (_offset_of(self.nodes[name], part) if part else 0)
        if position >= len(things):
            raise NotStraightError(f"there is no {reference!r}")
        return things[position]


@dataclass(slots=True)
class _Writer:
    definition: Message
    program: Program = field(default_factory=lambda: Program(_MOST_NODES))
    _functions: dict[str, _Function] = field(init=False)
    _assigned: dict[str, Message] = field(init=False)
    _nodes: dict[str, Message] = field(init=False)
    _attributes: dict[int, tuple[tuple[str, bytes], ...]] = field(default_factory=dict)
    _folded: dict[object, list[Value] | None] = field(default_factory=dict)
    _turns: int = 0
    _worked: int = 0

    def __post_init__(self) -> None:
        self._nodes = nodes = {node.name: node for node in self.definition.node}
        self._functions = {
            function.signature.name: _Function(
                tuple(argument.name for argument in function.signature.input_arg),
                {node.name: node for node in function.node_def},
                tuple(function.ret[output.name] for output in function.signature.output_arg),
            )
            for function in self.definition.library.function
        }
        self._assigned = {
            operation_of(node.input[0]): nodes[operation_of(node.input[1])]
            for node in self.definition.node
            if node.op == "AssignVariableOp"
        }

    def outputs(self, references: Sequence[str]) -> list[Value]:
        return [_value(thing) for thing in self._run(_Body(self._nodes, {}), references)]

    def _run(self, body: _Body, wanted: Sequence[str]) -> list[_Thing]:
        """Work out what `wanted` depends on."""
        pending = [operation_of(reference) for reference in wanted]
        entered: set[str] = set()
        while pending:
            name = pending[-1]
            if name in body.given:
                pending.pop()
                continue
            node = body.nodes[name]
            data = [reference for reference in node.input if not reference.startswith("^")]
            self._refuse_asserted(body, node)
            missing = [operation_of(reference) for reference in data if operation_of(reference) not in body.given]
            if missing:
                if name in entered:
                    raise NotStraightError(f"node {name!r} depends on itself")
                entered.add(name)
                pending.extend(missing)
                continue
            self._worked += 1
            if self._worked % _STRIDE == 0:
                pause()
            body.given[name] = self._work_out(node, [body.find(reference) for reference in data])
            pending.pop()
        return [body.find(reference) for reference in wanted]

    def _refuse_asserted(self, body: _Body, node: Message) -> None:
        """Control edges order what has effects. Nothing here has one, but for an assertion: it may refuse a record."""
        for reference in node.input:
            if reference.startswith("^"):
                giver = body.nodes.get(operation_of(reference))
                if giver is not None and giver.op == "Assert":
                    raise NotStraightError(f"node {node.name!r} waits for an assertion")

    def _call(self, name: str, inputs: Sequence[_Thing]) -> list[_Thing]:
        function = self._functions[name]
        given = {argument: [thing] for argument, thing in zip(function.arguments, inputs, strict=True)}
        return self._run(_Body(function.nodes, given), function.results)

    def _work_out(self, node: Message, inputs: list[_Thing]) -> list[_Thing]:
        match node.op:
            case "Const":
                array = array_of(node)
                return [self.program.constant(array)] if array is not None else [self._plain(node, [])]
            case "Placeholder" | "PlaceholderV2":
                return [Value(Node(node.op, (), self._read(node), node.name))]
            case "Identity" | "StopGradient" | "PreventGradient" | "IdentityN":
                return inputs
            case "VarHandleOp":
                return [_Variable(node.name)]
            case "ReadVariableOp":
                return [self._read_variable(inputs[0])]
            case "PartitionedCall" | "StatefulPartitionedCall":
                return self._call(attribute(node, "f").func.name, inputs)
            case "If" | "StatelessIf":
                return self._branch(node, inputs)
            case "While" | "StatelessWhile":
                return self._loop(node, inputs)
        if node.op in _LIST_OPERATIONS:
            return [_LIST_OPERATIONS[node.op](self, node, inputs)]
        if node.op in _NOT_PLAIN or node.op in operations.LISTS:
            raise NotStraightError(f"{node.op} cannot be worked out beforehand")
        return self._operation(node, [_value(thing) for thing in inputs])

    def _operation(self, node: Message, inputs: list[Value]) -> list[_Thing]:
        constants = [value.constant for value in inputs if value.constant is not None]
        if inputs and len(constants) == len(inputs):
            key = (node.op, self._read(node), tuple(value.node for value in inputs))
            if key not in self._folded:  # what is the same in each turn of a loop
                folded = fold(node.op, dict(self._read(node)), constants)
                self._folded[key] = None if folded is None else [self.program.constant(array) for array in folded]
            if (known := self._folded[key]) is not None:
                return list(known)
        made = self.program.node(node.op, inputs, self._read(node))
        return [Value(made, index) for index in range(_count_of(node))]

    def _plain(self, node: Message, inputs: list[Value]) -> Value:
        return Value(self.program.node(node.op, inputs, self._read(node)))

    def _read(self, node: Message) -> tuple[tuple[str, bytes], ...]:
        # A body is worked out once a turn, and its attributes are the same each time. Its messages live as long as
        # this object, so that none takes the identity of another.
        read = self._attributes.get(id(node))
        if read is None:
            if any(value.placeholder for value in node.attr.values()):
                raise NotStraightError(f"node {node.name!r} belongs to a function of several types")
            read = self._attributes[id(node)] = attributes_of(node)
        return read

    def _read_variable(self, handle: _Thing) -> Value:
        if not isinstance(handle, _Variable) or handle.name not in self._assigned:
            raise NotStraightError("a variable has no known value")
        array = array_of(self._assigned[handle.name])
        if array is None:
            raise NotStraightError(f"variable {handle.name!r} holds no numbers that are known here")
        return self.program.constant(array)

    def _branch(self, node: Message, inputs: list[_Thing]) -> list[_Thing]:
        condition = _known(inputs[0], "the condition of a branch")
        branch = "then_branch" if bool(condition) else "else_branch"
        return self._call(attribute(node, branch).func.name, inputs[1:])

    def _loop(self, node: Message, inputs: list[_Thing]) -> list[_Thing]:
        state = inputs
        while self._turns < _MOST_TURNS:
            self._turns += 1
            (condition,) = self._call(attribute(node, "cond").func.name, state)
            if not bool(_known(condition, "the condition of a loop")):
                return state
            state = self._call(attribute(node, "body").func.name, state)
        raise NotStraightError(f"its loops have more than {_MOST_TURNS} turns")

    def item(self, items: _List, index: int) -> Value:
        """An item of a list."""
        if items.rows_of is not None:
            return self._row(items.rows_of, index)
        value = items.items[index] if 0 <= index < len(items.items) else None
        if value is None:
            raise NotStraightError("a list is read where nothing was written")
        return value

    def _row(self, tensor: Value, index: int) -> Value:
        bounds = [self.program.constant(np.array([place], np.int32)) for place in (index, index + 1, 1)]
        attributes = {"Index": attribute_value(type=3), "shrink_axis_mask": attribute_value(i=1)}
        if (kind := dict(tensor.node.attributes).get("T")) is None:
            raise NotStraightError("a list is made of a tensor of unknown type")
        attributes["T"] = kind
        return Value(self.program.node("StridedSlice", [tensor, *bounds], tuple(sorted(attributes.items()))))

    def stacked(self, items: _List, element_type: int) -> Value:
        """All items of a list as one tensor."""
        if items.rows_of is not None:
            return items.rows_of
        values = [self.item(items, index) for index in range(len(items.items))]
        attributes = (
            ("N", attribute_value(i=len(values))),
            ("T", attribute_value(type=element_type)),
            ("axis", attribute_value(i=0)),
        )
        return Value(self.program.node("Pack", values, attributes))


def _value(thing: _Thing) -> Value:
    if not isinstance(thing, Value):
        raise NotStraightError("a list or a variable goes where a tensor is needed")
    return thing


def _list(thing: _Thing) -> _List:
    if not isinstance(thing, _List):
        raise NotStraightError("a list comes from where it cannot be followed")
    return thing


def _known(thing: _Thing, what: str) -> np.ndarray:
    constant = thing.constant if isinstance(thing, Value) else None
    if constant is None or constant.size != 1:
        raise NotStraightError(f"{what} depends on the data")
    return constant.reshape(())


def _reserve(writer: _Writer, node: Message, inputs: list[_Thing]) -> _List:
    return _List((None,) * int(_known(inputs[1], "the length of a list")))


def _from_tensor(writer: _Writer, node: Message, inputs: list[_Thing]) -> _List:
    return _List(rows_of=_value(inputs[0]))


def _get(writer: _Writer, node: Message, inputs: list[_Thing]) -> Value:
    return writer.item(_list(inputs[0]), int(_known(inputs[1], "the place in a list")))


def _set(writer: _Writer, node: Message, inputs: list[_Thing]) -> _List:
    items, index = list(_list(inputs[0]).items), int(_known(inputs[1], "the place in a list"))
    if not 0 <= index < len(items):
        raise NotStraightError("a list is written beyond its end")
    items[index] = _value(inputs[2])
    return _List(tuple(items))


def _stack(writer: _Writer, node: Message, inputs: list[_Thing]) -> Value:
    return writer.stacked(_list(inputs[0]), attribute(node, "element_dtype").type)


_LIST_OPERATIONS: Mapping[str, Callable[[_Writer, Message, list[_Thing]], _Thing]] = {
    "TensorListReserve": _reserve,
    "TensorListFromTensor": _from_tensor,
    "TensorListGetItem": _get,
    "TensorListSetItem": _set,
    "TensorListStack": _stack,
}
_NOT_PLAIN = operations.CALLS | operations.LOOPS | operations.VARIABLES | {"Assert", "NoOp", "PlaceholderWithDefault"}


@cache
def _definitions() -> Mapping[str, Message]:
    known = message_class("OpList").FromString(capi.all_operations())
    return {definition.name: definition for definition in known.op}


def _outputs_of(node: Message) -> Iterator[tuple[str, int]]:
    """Name and number of tensors of each output."""
    definition = _definitions().get(node.op)
    if definition is None:
        raise NotStraightError(f"TensorFlow does not know {node.op}")
    for output in definition.output_arg:
        if output.number_attr:
            yield output.name, int(attribute(node, output.number_attr).i)
        elif output.type_list_attr:
            yield output.name, len(attribute(node, output.type_list_attr).list.type)
        else:
            yield output.name, 1


def _count_of(node: Message) -> int:
    return sum(count for _, count in _outputs_of(node))


def _offset_of(node: Message, part: str) -> int:
    offset = 0
    for name, count in _outputs_of(node):
        if name == part:
            return offset
        offset += count
    raise NotStraightError(f"{node.op} has no output {part!r}")
