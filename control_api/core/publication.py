"""From what a client sent to the descriptor that is announced."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final

from immutables import Map

from control_api.schemas.publication import PublicationFields
from model_store.core import payload as looks
from model_store.core.commands import DEFAULT_DEADLINE_MS, EXACT, IMMEDIATE, RegisterVersion
from model_store.core.descriptor import (
    PMML,
    TENSORFLOW,
    TENSORFLOWSAVED,
    Descriptor,
    FeatureBinding,
    check_descriptor,
    check_own_name,
)
from model_store.core.errors import InvalidDescriptorError

_TYPES: Final[Mapping[str, str]] = {
    looks.PMML_DOCUMENT: PMML,
    looks.FROZEN_GRAPH: TENSORFLOW,
    looks.SAVED_MODEL_FILE: TENSORFLOWSAVED,
    looks.ARCHIVE: TENSORFLOWSAVED,
}


class ContradictionError(InvalidDescriptorError):
    """The content is not what its publisher says it is."""


def describe(name: str, fields: PublicationFields, data: bytes | None, filename: str, request_id: str) -> Descriptor:
    """The descriptor of a publication.

    Raises:
        ContradictionError: The bytes are not of the named type, look like none, or have another digest.
        InvalidDescriptorError: Anything else is wrong with it.
    """
    check_own_name("name", name)
    check_own_name("data_type", fields.data_type)
    digest = bytes.fromhex(fields.sha256) if fields.sha256 is not None else None
    if data is not None:
        digest = _checked_digest(data, digest)
    descriptor = Descriptor(
        name=name,
        data_type=fields.data_type,
        model_type=fields.type or _type_of(data or b"", filename),
        description=fields.description,
        location=fields.source,
        size_bytes=None if data is None else len(data),
        sha256=digest,
        feature_mapping=_bindings(fields.feature_mapping or {}),
        signature_name=fields.signature_name,
        input_names=tuple(fields.input_names),
        output_names=tuple(fields.output_names),
        use_case=fields.use_case,
        publisher=fields.publisher,
        request_id=request_id,
        source=filename if data is not None else "",
    )
    check_descriptor(descriptor)
    if data is not None and (said := looks.contradiction(descriptor.model_type, data)) is not None:
        raise ContradictionError(said)
    return descriptor


def registration(descriptor: Descriptor, fields: PublicationFields, *, is_anyone_there: bool) -> RegisterVersion:
    """The command that makes a version of a publication.

    Args:
        descriptor: Of `describe`.
        fields: What the client sent besides.
        is_anyone_there: Workers live, or nobody knows: an exact change can be asked for. Where nobody could promise an offset,
            what is to be exact is immediate.
    """
    mode = "" if fields.mode == "none" else fields.mode
    if mode == EXACT and not is_anyone_there:
        mode = IMMEDIATE
    deadline_ms = DEFAULT_DEADLINE_MS if fields.deadline_seconds is None else round(fields.deadline_seconds * 1000)
    return RegisterVersion(descriptor, Map(fields.references or {}), mode, deadline_ms)


def _checked_digest(data: bytes, announced: bytes | None) -> bytes:
    found = hashlib.sha256(data).digest()
    if announced is not None and announced != found:
        raise ContradictionError(f"sha256 {announced.hex()} was announced, the file has {found.hex()}")
    return found


def _type_of(data: bytes, filename: str) -> str:
    if not data:
        raise InvalidDescriptorError("the file is empty")
    seen = looks.looks_like(data)
    if seen is None:
        file = f"the file {filename!r}" if filename else "the file"
        raise ContradictionError(f"{file} looks like none of {', '.join(_TYPES)}; if it is one, name its `type`")
    return _TYPES[seen]


def _bindings(mapping: Mapping[str, str]) -> tuple[FeatureBinding, ...]:
    """On the wire a vector's features have no names: their order says which they are."""
    if all(feature.isdecimal() for feature in mapping):
        return tuple(FeatureBinding("", mapping[feature]) for feature in sorted(mapping, key=int))
    return tuple(FeatureBinding(feature, field) for feature, field in mapping.items())
