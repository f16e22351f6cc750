"""A frozen graph: variables are constants already; inputs and outputs are not named, so they are found.

The outputs are the nodes that nobody consumes, without those that are left over from training and saving. The inputs are the
placeholders that these outputs depend on: not all placeholders, because freezing a recurrent network leaves dozens that
nothing needs. Names that the publisher gave go before both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from serving.core.errors import DamagedModelError, ModelLimitError, SignatureError
from serving.scorers.base import Artifact
from serving.scorers.tensorflow import operations
from serving.scorers.tensorflow.protos import Message, attribute, message_class, parse
from serving.scorers.tensorflow.screen import Part, nodes_by_name, operation_of, part_of, screen, shape_of, write_graph
from serving.scorers.tensorflow.servable import ServableGraph, Tensor
from serving.scorers.tensorflow.shapes import width_of

_PLACEHOLDERS = frozenset({"Placeholder", "PlaceholderV2", "PlaceholderWithDefault"})
_NO_OUTPUTS = frozenset({"Const", "NoOp", "Assert", "SaveV2", "RestoreV2", "Assign", "Placeholder", "PlaceholderV2"})


def read_frozen_graph(artifact: Artifact) -> ServableGraph:
    """Read, screen and prune the frozen GraphDef in `artifact.payload`.

    Raises:
        ModelRefusedError: It is damaged, hostile, unsupported, over a limit, or its inputs or outputs cannot be found.
    """
    payload = artifact.payload
    if len(payload) > artifact.limits.artifact_bytes:
        raise ModelLimitError(
            f"the frozen graph has {len(payload)} bytes; the limit is {artifact.limits.artifact_bytes}"
        )
    graph = _parse(payload)
    nodes = nodes_by_name(graph.node)
    outputs = _references(artifact.output_names, nodes, "output") or _dangling(graph)
    given = _references(artifact.input_names, nodes, "input")
    part = part_of(graph, outputs, {operation_of(name) for name in given})
    screen(part, operations.INFERENCE, artifact.limits)
    inputs = _inputs(part, given)
    pruned = message_class("GraphDef")()
    write_graph(part, pruned, graph.versions)
    return ServableGraph(
        definition=pruned.SerializeToString(),
        inputs=tuple(_input(reference, part) for reference in inputs),
        outputs=tuple(Tensor(_name(reference), reference, 0, None) for reference in outputs),
        has_loops=part.has_loops,
        are_outputs_guessed=not artifact.output_names,
    )


def _parse(payload: bytes) -> Message:
    hint = ""
    if payload[:4] == b"PK\x03\x04" or payload[:2] == b"\x1f\x8b" or payload[257:262] == b"ustar":
        hint = "; it looks like an archive: a SavedModel is published with the type TENSORFLOWSAVED"
    elif payload.lstrip()[:1] == b"<":
        hint = "; it looks like XML: a PMML document is published with the type PMML"
    try:
        graph = parse("GraphDef", payload, "the frozen graph")
    except DamagedModelError as error:
        raise DamagedModelError(f"{error}{hint}") from error
    if not graph.node:
        raise DamagedModelError(f"the frozen graph ({len(payload)} bytes) holds no node{hint}")
    return graph


def _references(names: Sequence[str], nodes: Mapping[str, Message], what: str) -> list[str]:
    references = [name if ":" in name else f"{name}:0" for name in names]
    for reference in references:
        name, _, index = reference.partition(":")
        if name not in nodes or not index.isdecimal():
            raise SignatureError(f"the graph has no tensor {reference!r}, which was given as an {what}")
        if what == "input" and nodes[name].op not in _PLACEHOLDERS:
            raise SignatureError(f"{reference!r} was given as an input but is the result of {nodes[name].op}")
    return references


def _dangling(graph: Message) -> list[str]:
    consumed = {operation_of(reference) for node in graph.node for reference in node.input}
    outputs = [f"{node.name}:0" for node in graph.node if node.name not in consumed and node.op not in _NO_OUTPUTS]
    if not outputs:
        raise DamagedModelError("the frozen graph has no output: every node is consumed by another")
    return outputs


def _inputs(part: Part, given: Sequence[str]) -> list[str]:
    needed = [f"{name}:0" for name, node in part.nodes.items() if node.op in ("Placeholder", "PlaceholderV2")]
    if given:
        missing = sorted(set(needed) - set(given))
        if missing:
            raise SignatureError(f"the outputs also depend on {', '.join(missing)}, which was not given as an input")
        unused = sorted(reference for reference in given if operation_of(reference) not in part.nodes)
        if unused:
            raise SignatureError(f"no output depends on {', '.join(unused)}, which was given as an input")
        return list(given)
    if not needed:
        raise SignatureError("no output of the frozen graph depends on a placeholder, so there is nothing to score")
    return needed


def _input(reference: str, part: Part) -> Tensor:
    node = part.nodes[operation_of(reference)]
    shape = shape_of(attribute(node, "shape").shape) if "shape" in node.attr else None
    # An unknown shape was written as that of a scalar by early versions of TensorFlow.
    if not shape or (len(shape) == 2 and shape[1] == -1):
        width = width_of(node.name, part.nodes)
        shape = (-1, width) if width is not None else shape or None
    return Tensor(_name(reference), reference, attribute(node, "dtype").type, shape)


def _name(reference: str) -> str:
    return reference.removesuffix(":0")
