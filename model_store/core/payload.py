"""What an artifact looks like, from its first bytes: only to catch a descriptor that contradicts them.

A look is cheap and never wrong in the cases it decides; whatever it does not recognise is left to the engine.
"""

from __future__ import annotations

from typing import Final

from model_store.core.descriptor import PMML, TENSORFLOW, TENSORFLOWSAVED

_LOOK_BYTES: Final = 1 << 16
_TAR_MAGIC_AT: Final = 257  # POSIX.1-1988, the ustar header block.

PMML_DOCUMENT: Final = "a PMML document"
FROZEN_GRAPH: Final = "a frozen TensorFlow graph"
SAVED_MODEL_FILE: Final = "a saved_model.pb"
ARCHIVE: Final = "a zip or tar archive"

_FITS: Final = {
    PMML: {PMML_DOCUMENT},
    TENSORFLOW: {FROZEN_GRAPH},
    TENSORFLOWSAVED: {ARCHIVE, SAVED_MODEL_FILE},
}


def looks_like(payload: bytes) -> str | None:
    """What the bytes look like, as words for a message, or `None` where they look like nothing known."""
    head = payload[:_LOOK_BYTES]
    if head.startswith((b"PK\x03\x04", b"\x1f\x8b")) or head[_TAR_MAGIC_AT : _TAR_MAGIC_AT + 5] == b"ustar":
        return ARCHIVE
    if _xml_root(head) == "PMML":
        return PMML_DOCUMENT
    if head.startswith(b"\x08\x01\x12"):  # SavedModel: saved_model_schema_version = 1, then the first of meta_graphs.
        return SAVED_MODEL_FILE
    return FROZEN_GRAPH if _starts_with_node(head) else None


def contradiction(model_type: str, payload: bytes) -> str | None:
    """A sentence that names the declared type and what the payload looks like, if they cannot both be right.

    Args:
        model_type: See `Descriptor.model_type`; types of third-party engines contradict nothing.
        payload: The artifact.
    """
    seen = looks_like(payload)
    if seen is None or model_type not in _FITS or seen in _FITS[model_type]:
        return None
    return f"declared {model_type}, but the payload looks like {seen}"


def _xml_root(head: bytes) -> str | None:
    """Local name of the root element, if the head is XML up to there."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = head.decode("utf-16", errors="replace")
    else:
        text = head.removeprefix(b"\xef\xbb\xbf").decode("utf-8", errors="replace")
    at = 0
    while True:
        while at < len(text) and text[at].isspace():
            at += 1
        if text.startswith("<?", at):
            at, end = text.find("?>", at), 2
        elif text.startswith("<!--", at):
            at, end = text.find("-->", at), 3
        elif text.startswith("<!DOCTYPE", at):
            at, end = _doctype_end(text, at), 1
        else:
            break
        if at < 0:
            return None
        at += end
    if not text.startswith("<", at):
        return None
    name = text[at + 1 : at + 100].split(">", 1)[0].split("/", 1)[0].split(maxsplit=1)
    return name[0].rpartition(":")[2] if name else None


def _doctype_end(text: str, at: int) -> int:
    """Index of the `>` that closes a DOCTYPE, its internal subset skipped; -1 if it is not in the head."""
    subset, close = text.find("[", at), text.find(">", at)
    if 0 <= subset < close:
        close = text.find(">", text.find("]", subset)) if "]" in text[subset:] else -1
    return close


def _starts_with_node(head: bytes) -> bool:
    """Whether a GraphDef starts here: field 1 (a NodeDef) that starts with a name (field 1) and an op (field 2)."""
    if not head.startswith(b"\x0a"):
        return False
    node = _skip_varint(head, 1)
    if node is None or head[node : node + 1] != b"\x0a":
        return False
    length_at = node + 1
    name_at = _skip_varint(head, length_at)
    if name_at is None:
        return False
    op_tag = name_at + _varint(head[length_at:name_at])
    op_at = _skip_varint(head, op_tag + 1)
    if op_at is None or head[op_tag : op_tag + 1] != b"\x12":
        return False
    op = head[op_at : op_at + _varint(head[op_tag + 1 : op_at])]
    return bool(op) and op.isascii() and all(chr(byte).isalnum() or byte in b"_>." for byte in op)


def _skip_varint(data: bytes, at: int) -> int | None:
    for end in range(at, min(at + 10, len(data))):
        if data[end] < 0x80:
            return end + 1
    return None


def _varint(data: bytes) -> int:
    return sum((byte & 0x7F) << 7 * place for place, byte in enumerate(data))
