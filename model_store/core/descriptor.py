"""What a publisher announces: a model, its data type, and where its bytes are.

A descriptor is a value. It never holds the artifact itself, only its digest and size, so that a catalogue of ten
thousand versions stays small.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from immutables import Map

from model_store.core.errors import InvalidDescriptorError

TENSORFLOW: Final = "TENSORFLOW"
TENSORFLOWSAVED: Final = "TENSORFLOWSAVED"
PMML: Final = "PMML"

BUILT_IN_TYPES: Final = (TENSORFLOW, TENSORFLOWSAVED, PMML)
"""The model types that have a number in the wire's enum. Any other type is the entry point name of an engine."""

NAME_PATTERN: Final = re.compile(r"[a-z0-9]([a-z0-9._-]{0,126}[a-z0-9])?")
"""Names and data types that our own publishers give; short enough for a URL segment and safe in it."""

LONGEST_FOREIGN_NAME: Final = 255
"""Bare descriptors of other publishers may have any printable name up to this many characters."""

LONGEST_REQUEST_ID: Final = 64

DIGEST_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class FeatureBinding:
    """One feature of the model and the record field that fills it.

    Attributes:
        feature: The model's feature name; empty where the model has only a vector.
        field: The record's field: a dotted path.
        unknown: Wire fields that this version does not know, as they came.
    """

    feature: str
    field: str
    unknown: bytes = b""


@dataclass(frozen=True, slots=True)
class GoldenRow:
    """One row of inputs with the outputs that the model must give before it may serve.

    Attributes:
        inputs: Numbers, by feature name, or `0`, `1`, ... where the model has only a vector.
        texts: Strings, by feature name.
        outputs: Expected numbers, by output name (`scores[3]` for an element of a vector).
        labels: Expected labels, by output name.
        tolerance: Largest allowed absolute difference of a number; 0 means 1e-6.
        unknown: Wire fields that this version does not know, as they came.
    """

    inputs: Mapping[str, float] = Map()
    texts: Mapping[str, str] = Map()
    outputs: Mapping[str, float] = Map()
    labels: Mapping[str, str] = Map()
    tolerance: float = 0.0
    unknown: bytes = b""


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """Field 7 of the speculative dialect: read and kept, otherwise ignored.

    Attributes:
        width: Number of input columns.
        input: Name of the input tensor.
        output: Name of the output tensor.
        unknown: Wire fields that this version does not know, as they came.
    """

    width: int = 0
    input: str = ""
    output: str = ""
    unknown: bytes = b""


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A model that is announced as the one of its data type. Exactly one of `location` and `size_bytes` is set.

    Attributes:
        name: Registered model name. Versions are counted by name.
        data_type: The route key that this model serves from now on.
        model_type: `TENSORFLOW`, `TENSORFLOWSAVED`, `PMML`, or the entry point name of another engine.
        description: A sentence for people.
        location: `file:` or `http(s):` URL of the artifact, or `None` where its bytes came in the record itself.
        size_bytes: Size of the bytes that came in the record; `None` with a `location`.
        sha256: Digest of the artifact, 32 bytes; always known for inline bytes, `None` where a location came without.
        feature_mapping: Record field for each feature; empty: the stream's settings decide.
        signature_name: SavedModel signature to serve; empty: `serving_default`, else the only one.
        input_names: Input tensors of a frozen graph; empty: found in the graph.
        output_names: Output tensors of a frozen graph; empty: found in the graph.
        golden_rows: Rows that the model must reproduce before it may serve.
        use_case: The business use case that the model belongs to.
        publisher: Who published it, as the publisher says.
        request_id: Identifies one act of publishing; at most 64 characters; empty if the publisher gave none.
        source: Where the artifact came from, for people; never fetched.
        preprocessing: Field 7 of the speculative dialect, where it was there.
        unknown: Top-level wire fields that this version does not know, as they came.
    """

    name: str
    data_type: str
    model_type: str
    description: str = ""
    location: str | None = None
    size_bytes: int | None = None
    sha256: bytes | None = None
    feature_mapping: tuple[FeatureBinding, ...] = ()
    signature_name: str = ""
    input_names: tuple[str, ...] = ()
    output_names: tuple[str, ...] = ()
    golden_rows: tuple[GoldenRow, ...] = ()
    use_case: str = ""
    publisher: str = ""
    request_id: str = ""
    source: str = ""
    preprocessing: Preprocessing | None = None
    unknown: bytes = b""

    @property
    def is_inline(self) -> bool:
        """The artifact's bytes came in the record."""
        return self.location is None


def check_descriptor(descriptor: Descriptor) -> None:
    """Prove that a descriptor makes sense on its face, as every reader of the log does.

    Raises:
        InvalidDescriptorError: The first thing that is wrong with it.
    """
    _check_foreign_name("name", descriptor.name)
    _check_foreign_name("data_type", descriptor.data_type)
    if not descriptor.model_type:
        raise InvalidDescriptorError("the descriptor names no model type")
    if (descriptor.location is None) == (descriptor.size_bytes is None):
        raise InvalidDescriptorError("a descriptor holds either the model's bytes (`data`) or a `location`")
    if descriptor.location == "" or descriptor.size_bytes == 0:
        raise InvalidDescriptorError("the descriptor has no content: both `data` and `location` are empty")
    if descriptor.is_inline and descriptor.sha256 is None:
        raise InvalidDescriptorError("inline bytes without their sha256")
    if descriptor.sha256 is not None and len(descriptor.sha256) != DIGEST_BYTES:
        raise InvalidDescriptorError(f"sha256 has {len(descriptor.sha256)} bytes, not {DIGEST_BYTES}")
    if len(descriptor.request_id) > LONGEST_REQUEST_ID:
        length = len(descriptor.request_id)
        raise InvalidDescriptorError(f"request_id has {length} characters, at most {LONGEST_REQUEST_ID} are allowed")


def check_own_name(what: str, name: str) -> None:
    """Prove that a name follows the rule for our own publishers: `NAME_PATTERN`.

    Args:
        what: The name of the field, for the message.
        name: The name.

    Raises:
        InvalidDescriptorError: It does not.
    """
    if not NAME_PATTERN.fullmatch(name):
        raise InvalidDescriptorError(
            f"{what} {name!r} is not a name: 1 to 128 of a-z, 0-9, '.', '_' and '-', a letter or digit at both ends"
        )


def _check_foreign_name(what: str, name: str) -> None:
    if not name:
        raise InvalidDescriptorError(f"the descriptor has no {what}")
    if len(name) > LONGEST_FOREIGN_NAME:
        raise InvalidDescriptorError(f"{what} has {len(name)} characters, at most {LONGEST_FOREIGN_NAME} are allowed")
    if not name.isprintable():
        raise InvalidDescriptorError(f"{what} {name!r} holds characters that cannot be printed")
