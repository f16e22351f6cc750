"""A SavedModel, read without ever being opened by TensorFlow.

TensorFlow's own loaders run code of the model: initializers, restore functions, main operations. Here `saved_model.pb` is
read as data: a signature is chosen; its outputs' part of the graph is screened and cut out; each variable's value is taken
from the checkpoint and put into the graph as a constant: in place of the variable where the graph refers to the
variable's memory (TensorFlow 1), or assigned to it by a setup operation where it goes by handle. Which variable has which key
in the checkpoint is found by reading the restore function, which is never run.

What is never run is screened nevertheless: a model that would write a file when TensorFlow loads it is not one to serve.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from serving.core.errors import (
    DamagedModelError,
    HostileModelError,
    ModelLimitError,
    SignatureError,
    UnsupportedModelError,
)
from serving.scorers.base import Artifact, LoadLimits
from serving.scorers.tensorflow import operations
from serving.scorers.tensorflow.archive import GRAPH_FILE, read_directory, read_files
from serving.scorers.tensorflow.bundle import Bundle, StoredTensor
from serving.scorers.tensorflow.protos import Message, attribute, message_class, parse
from serving.scorers.tensorflow.screen import (
    Part,
    nodes_by_name,
    operation_of,
    part_of,
    screen,
    screen_functions,
    shape_of,
    write_graph,
)
from serving.scorers.tensorflow.servable import ServableGraph, Tensor
from serving.scorers.tensorflow.shapes import width_of

_TAG = "serve"
_DEFAULT_SIGNATURE = "serving_default"
_INITIALIZER = "__saved_model_init_op"
# TensorFlow registers its own wrapper of a captured constant; it holds a value and runs nothing.
_CLASSES_OF_TENSORFLOW = frozenset({"tf.TrackableConstant"})
_INITIALIZER_COLLECTIONS = ("saved_model_main_op", "legacy_init_op", "saved_model_init_op")
_SETUP = "sluice_setup"
_REFERENCE_VARIABLES = frozenset({"Variable", "VariableV2"})


def read_saved_model(artifact: Artifact) -> ServableGraph:
    """Read, screen and prune the SavedModel of `artifact`, and put its variables in.

    Raises:
        ModelRefusedError: It is damaged, hostile, unsupported, over a limit, or has no such signature.
    """
    limits = artifact.limits
    if artifact.directory is not None:
        files = read_directory(artifact.directory, limits.artifact_bytes)
    else:
        files = read_files(artifact.payload, limits.artifact_bytes)
    meta = _meta_graph(parse("SavedModel", files[GRAPH_FILE], GRAPH_FILE))
    _screen_loading(meta, limits)
    name = _choose(meta, artifact.signature_name)
    signature = meta.signature_def[name]
    part = part_of(meta.graph_def, [tensor.name for tensor in signature.outputs.values()])
    screen(part, operations.INFERENCE_WITH_VARIABLES, limits, f"signature {name!r}")
    _check_inputs(part, signature, name)
    variables = _variables(meta, part, Bundle(files), limits)
    graph = message_class("GraphDef")()
    write_graph(part, graph, meta.graph_def.versions)
    setup = _put_in(graph, variables)
    nodes = {node.name: node for node in graph.node}
    return ServableGraph(
        definition=graph.SerializeToString(),
        inputs=tuple(_tensor(key, signature.inputs[key], nodes) for key in sorted(signature.inputs)),
        outputs=tuple(_tensor(key, signature.outputs[key], None) for key in sorted(signature.outputs)),
        has_loops=part.has_loops,
        setup=setup,
    )


def _meta_graph(saved: Message) -> Message:
    tagged = [meta for meta in saved.meta_graphs if _TAG in meta.meta_info_def.tags]
    exact = [meta for meta in tagged if list(meta.meta_info_def.tags) == [_TAG]]
    choice = exact or tagged
    if not choice:
        tags = sorted({tag for meta in saved.meta_graphs for tag in meta.meta_info_def.tags})
        raise DamagedModelError(f"the SavedModel has no graph with the tag {_TAG!r}; its tags are {tags}")
    if len(choice) > 1:
        raise UnsupportedModelError(f"the SavedModel has {len(choice)} graphs with the tag {_TAG!r}; one is needed")
    return choice[0]


def _choose(meta: Message, wanted: str | None) -> str:
    names = [name for name, signature in meta.signature_def.items() if not name.startswith("__") and signature.outputs]
    servable = sorted(name for name in names if meta.signature_def[name].inputs)
    if wanted is not None:
        if wanted not in servable:
            raise SignatureError(f"the SavedModel has no signature {wanted!r}; it has {servable}")
        return wanted
    if not servable:
        raise SignatureError("the SavedModel has no signature with inputs and outputs")
    return _DEFAULT_SIGNATURE if _DEFAULT_SIGNATURE in servable else servable[0]


def _screen_loading(meta: Message, limits: LoadLimits) -> None:
    """Everything TensorFlow would run, or hold, beside the signature."""
    if meta.asset_file_def:
        raise UnsupportedModelError("the SavedModel needs asset files (vocabularies or the like), which are not served")
    graph = meta.graph_def
    roots = [meta.saver_def.restore_op_name] if meta.saver_def.restore_op_name else []
    for collection in _INITIALIZER_COLLECTIONS:
        if collection in meta.collection_def:
            roots += list(meta.collection_def[collection].node_list.value)
    if _INITIALIZER in meta.signature_def:
        roots += [tensor.name for tensor in meta.signature_def[_INITIALIZER].outputs.values()]
    screen(part_of(graph, roots), operations.ANYWHERE, limits, "loading part of the SavedModel")
    screen_functions(graph, operations.ANYWHERE, limits)
    for node in meta.object_graph_def.nodes:
        kind = node.WhichOneof("kind")
        if kind in ("asset", "resource", "captured_tensor"):
            raise UnsupportedModelError(
                f"the SavedModel's objects hold a {kind.replace('_', ' ')}, which is not served"
            )
        if node.registered_name and node.registered_name not in _CLASSES_OF_TENSORFLOW:
            raise HostileModelError(f"the SavedModel holds an object of the registered class {node.registered_name!r}")


def _check_inputs(part: Part, signature: Message, name: str) -> None:
    given = {operation_of(tensor.name) for tensor in signature.inputs.values()}
    for tensor in [*signature.inputs.values(), *signature.outputs.values()]:
        if tensor.WhichOneof("encoding") != "name":
            raise UnsupportedModelError(f"signature {name!r} has a sparse or composite tensor")
    needed = {node.name for node in part.nodes.values() if node.op in ("Placeholder", "PlaceholderV2")}
    if needed - given:
        raise SignatureError(f"signature {name!r} depends on {sorted(needed - given)}, which are not among its inputs")
    if given - set(part.nodes):
        raise SignatureError(f"no output of signature {name!r} depends on its inputs {sorted(given - set(part.nodes))}")


def _tensor(key: str, info: Message, nodes: Mapping[str, Message] | None) -> Tensor:
    shape = shape_of(info.tensor_shape)
    if nodes is not None and (shape is None or (len(shape) == 2 and shape[1] == -1)):
        width = width_of(operation_of(info.name), nodes)
        shape = (-1, width) if width is not None else shape
    return Tensor(key, info.name, int(info.dtype), shape)


def _variables(meta: Message, part: Part, bundle: Bundle, limits: LoadLimits) -> dict[str, StoredTensor]:
    """The stored value of every variable in `part`, by the name of its node."""
    for function in part.functions.values():
        if any(node.op == "VarHandleOp" or node.op in _REFERENCE_VARIABLES for node in function.node_def):
            raise UnsupportedModelError(f"function {function.signature.name!r} makes a variable of its own")
    wanted = [node for node in part.nodes.values() if node.op == "VarHandleOp" or node.op in _REFERENCE_VARIABLES]
    if not wanted:
        return {}
    keys = dict(_restored(meta))
    values: dict[str, StoredTensor] = {}
    total = 0
    for node in wanted:
        if node.name not in keys:
            raise DamagedModelError(f"nothing in the SavedModel restores variable {node.name!r}")
        value = bundle.tensor(keys[node.name])
        if value.dtype != attribute(node, "dtype").type:
            raise DamagedModelError(f"variable {node.name!r} is stored with another type than the graph gives it")
        total += len(value.content)
        if total > limits.artifact_bytes:
            raise ModelLimitError(f"the variables have more than the {limits.artifact_bytes} bytes allowed")
        values[node.name] = value
    return values


def _restored(meta: Message) -> Iterator[tuple[str, str]]:
    """Variable -> checkpoint key, read off the restore operation: assignments of what a RestoreV2 gives."""
    graph = meta.graph_def
    if not meta.saver_def.restore_op_name:
        return
    restore = part_of(graph, [meta.saver_def.restore_op_name])
    yield from _assignments(restore.nodes, {})
    for node in restore.nodes.values():
        if node.op in ("PartitionedCall", "StatefulPartitionedCall"):
            function = restore.functions[attribute(node, "f").func.name]
            arguments = {
                argument.name: operation_of(reference)
                for argument, reference in zip(function.signature.input_arg, node.input, strict=False)
            }
            yield from _assignments(nodes_by_name(function.node_def), arguments)


def _assignments(nodes: Mapping[str, Message], arguments: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for node in nodes.values():
        if node.op not in ("Assign", "AssignVariableOp") or len(node.input) < 2:
            continue
        source = node.input[1]
        for _ in range(len(nodes)):
            giver = nodes.get(operation_of(source))
            if giver is None or giver.op != "Identity" or not giver.input:
                break
            source = giver.input[0]
        if giver is None or giver.op != "RestoreV2" or len(giver.input) < 2:
            continue
        names = nodes.get(operation_of(giver.input[1]))
        keys = attribute(names, "value").tensor.string_val if names is not None else ()
        last = source.rpartition(":")[2]
        position = int(last) if ":" in source and last.isdecimal() else 0
        if position >= len(keys):
            raise DamagedModelError(f"the restore operation gives {node.name!r} a value that it does not name")
        target = operation_of(node.input[0])
        yield arguments.get(target, target), keys[position].decode(errors="replace")


def _put_in(graph: Message, variables: Mapping[str, StoredTensor]) -> str | None:
    """Replace or assign the variables; returns the operation that assigns, if there is one to run."""
    by_name = {node.name: node for node in graph.node}
    assigned = []
    for position, (name, value) in enumerate(variables.items()):
        node = by_name[name]
        if node.op in _REFERENCE_VARIABLES:
            node.Clear()
            node.name = name
            _fill_constant(node, value)
            continue
        constant = graph.node.add(name=f"{_SETUP}/{position}/value")
        _fill_constant(constant, value)
        assign = graph.node.add(name=f"{_SETUP}/{position}/assign", op="AssignVariableOp")
        assign.input.extend([name, constant.name])
        assign.attr["dtype"].type = value.dtype
        assigned.append(f"^{assign.name}")
    if not assigned:
        return None
    if any(name == _SETUP or name.startswith(f"{_SETUP}/") for name in by_name):
        raise UnsupportedModelError(f"a node of the graph is named {_SETUP!r}, a name that is needed here")
    graph.node.add(name=_SETUP, op="NoOp").input.extend(assigned)
    return _SETUP


def _fill_constant(node: Message, value: StoredTensor) -> None:
    node.op = "Const"
    node.attr["dtype"].type = value.dtype
    tensor = node.attr["value"].tensor
    tensor.dtype = value.dtype
    for size in value.shape:
        tensor.tensor_shape.dim.add(size=size)
    tensor.tensor_content = value.content
