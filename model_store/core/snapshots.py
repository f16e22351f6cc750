"""The state of the fold as a record, and back: a new reader starts from it instead of from the first record of the log.

Theory of operation. `encode_snapshot` writes a catalogue; whoever has one may put it on the log. By the time it is there,
others may have written more, so the state says itself which offset it stands at: a reader decodes it and goes on from the
record after that offset, not from the one after the snapshot. Snapshots carry the schema that they were written by, a
digest of all fields and types that a catalogue is made of, and of what the fold does (`FOLD`). Other code ignores them and
reads the whole log, so nothing has to be migrated, and nothing is ever misread.

What is in the state twice is written once: the versions, of which the models and the stacks of the routes are made again.
"""

from __future__ import annotations

import dataclasses
import hashlib
import types
import typing
import zlib
from enum import Enum
from typing import Any, Final

import msgspec
from immutables import Map

from model_store.core.control_records import Snapshot
from model_store.core.descriptor import Descriptor
from model_store.core.routes import ROUTE_HISTORY, Route
from model_store.core.state import Catalogue
from model_store.core.versions import ModelVersion

FOLD: Final = 1
"""Raised by one whenever the fold makes another state of the same records: a state that was made otherwise is then of
another schema, so all readers of one version of the code agree, wherever they started."""

LARGEST_STATE_BYTES: Final = 1 << 30
"""Of a state that is unpacked; a record that claims more is damaged."""

_NOTHING: Final[Map[Any, Any]] = Map()

_COMPRESSION: Final = 3  # a tenth larger than the best, in a fifth of the time


def encode_snapshot(catalogue: Catalogue) -> Snapshot:
    """A catalogue as a record of the log. Takes about a second where 40,000 versions are known: not for an event loop."""
    models = Map({name: dataclasses.replace(model, versions=Map()) for name, model in catalogue.models.items()})
    routes = Map({key: dataclasses.replace(route, history=()) for key, route in catalogue.routes.items()})
    state = dataclasses.replace(catalogue, models=models, routes=routes)
    return Snapshot(SCHEMA, zlib.compress(_encoder.encode(state), _COMPRESSION))


def decode_snapshot(snapshot: Snapshot, offset: int) -> Catalogue | None:
    """The catalogue of a snapshot; its `offset` is that of the last record it has, and reading goes on after it.

    Args:
        snapshot: The record.
        offset: Where it is on the control log: no state on the log is from after itself.

    Returns:
        `None` where it was written by code of another shape, or is damaged; then the log is read from its beginning.
    """
    if snapshot.schema != SCHEMA:
        return None
    try:
        unpacking = zlib.decompressobj()
        unpacked = unpacking.decompress(snapshot.state, LARGEST_STATE_BYTES)
        if not unpacking.eof:
            return None
        state = _decoder.decode(unpacked)
        return _whole(state) if state.offset < offset else None
    except (zlib.error, msgspec.DecodeError, ValueError, TypeError, KeyError, RecursionError):
        return None


def _whole(state: Catalogue) -> Catalogue:
    """The state with all that was left out of it."""
    versions = Map({offset: _exactly(version) for offset, version in state.versions.items()})
    by_model: dict[str, dict[int, ModelVersion]] = {name: {} for name in state.models}
    for version in versions.values():
        by_model[version.model][version.version] = version
    models = Map({n: dataclasses.replace(model, versions=Map(by_model[n])) for n, model in state.models.items()})
    state = dataclasses.replace(state, versions=versions, models=models)
    routes = {key: dataclasses.replace(route, history=_history(state, route)) for key, route in state.routes.items()}
    return dataclasses.replace(state, routes=Map(routes))


def _history(state: Catalogue, route: Route) -> tuple[ModelVersion, ...]:
    found: list[ModelVersion] = []
    for entry in route.newest_first():
        primary = state.version(entry.plan.primary.target) if entry.plan is not None else None
        if primary is not None:
            found.append(primary)
        if len(found) == ROUTE_HISTORY:
            break
    return tuple(found)


def _exactly(version: ModelVersion) -> ModelVersion:
    """A golden row's fields are declared as any mapping, and come back as dictionaries."""
    descriptor = version.descriptor
    if not descriptor.golden_rows:
        return version
    rows = tuple(
        dataclasses.replace(
            row, inputs=Map(row.inputs), texts=Map(row.texts), outputs=Map(row.outputs), labels=Map(row.labels)
        )
        for row in descriptor.golden_rows
    )
    whole: Descriptor = dataclasses.replace(descriptor, golden_rows=rows)
    return dataclasses.replace(version, descriptor=whole)


def _encode_map(value: Any) -> Any:
    if isinstance(value, Map):
        return dict(value)
    raise NotImplementedError(f"a catalogue holds no {type(value).__name__}")


def _decode_map(kind: Any, value: Any) -> Any:
    if typing.get_origin(kind) is Map:
        if not value:
            return _NOTHING  # most of them
        return Map(msgspec.convert(value, dict[typing.get_args(kind)], dec_hook=_decode_map))  # type: ignore[misc]  # its types are known when it runs
    raise NotImplementedError(f"a catalogue holds no {kind}")


def _shape(hint: Any, seen: dict[type, str]) -> str:
    """A type in words, with all classes that it leads to in `seen`."""
    arguments = typing.get_args(hint)
    origin = typing.get_origin(hint)
    if origin is typing.Literal:
        return repr(arguments)
    kind = origin or hint
    if isinstance(kind, type) and kind not in seen and kind is not types.UnionType:
        seen[kind] = ""
        if issubclass(kind, Enum):
            seen[kind] = repr([(member.name, member.value) for member in kind])
        elif dataclasses.is_dataclass(kind) or hasattr(kind, "_fields"):
            fields = typing.get_type_hints(kind)
            seen[kind] = ", ".join(f"{name}: {_shape(fields[name], seen)}" for name in fields)
    name = f"{kind.__module__}.{kind.__qualname__}" if isinstance(kind, type) else str(kind)
    return f"{name}[{', '.join(_shape(argument, seen) for argument in arguments)}]" if arguments else name


def _schema() -> str:
    seen: dict[type, str] = {}
    _shape(Catalogue, seen)
    lines = sorted(f"{kind.__module__}.{kind.__qualname__}({fields})" for kind, fields in seen.items())
    return hashlib.sha256("\n".join([f"fold {FOLD}", *lines]).encode()).hexdigest()[:16]


SCHEMA: Final = _schema()
"""Names the shape of a catalogue: another one for any other fields or types, of whatever it is made of."""

_encoder: Final = msgspec.msgpack.Encoder(enc_hook=_encode_map)
_decoder: Final = msgspec.msgpack.Decoder(Catalogue, dec_hook=_decode_map)
