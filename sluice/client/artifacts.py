"""What can be published: bytes, a file, or the directory of a SavedModel."""

from __future__ import annotations

import io
import os
import re
import zipfile
from pathlib import Path

from sluice.client.errors import ArtifactError

# A zip member has a date; this one says nothing, so that the same directory gives the same digest.
_NO_DATE = (1980, 1, 1, 0, 0, 0)
_NAME_PARTS = re.compile(r"[^a-z0-9._-]+")
_ENDINGS = (".tar.gz", ".tgz", ".tar", ".zip", ".pb", ".pmml", ".xml")


def read_artifact(model: str | os.PathLike[str] | bytes) -> tuple[str, bytes]:
    """File name and bytes of `model`; the directory of a SavedModel becomes a zip.

    Raises:
        ArtifactError: There is nothing to read, or a directory is not a SavedModel.
    """
    if isinstance(model, bytes):
        return "model", model
    path = Path(model)
    try:
        if path.is_dir():
            return f"{path.resolve().name}.zip", _zip_saved_model(path)
        return path.name, path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror or error}") from error


def model_name(file_name: str) -> str:
    """A registered model's name made of a file's: `Wine Tree.pmml` becomes `wine-tree`.

    Raises:
        ArtifactError: Nothing is left that could be a name.
    """
    stem = file_name.lower()
    for ending in _ENDINGS:
        stem = stem.removesuffix(ending)
    name = _NAME_PARTS.sub("-", stem).strip("._-")[:128].strip("._-")
    if not name:
        raise ArtifactError(f"no model name can be made of {file_name!r}: give one")
    return name


def _zip_saved_model(folder: Path) -> bytes:
    if not (folder / "saved_model.pb").is_file():
        versions = sorted(path.parent.name for path in folder.glob("*/saved_model.pb"))
        hint = f"; one of its folders may be meant: {', '.join(versions)}" if versions else ""
        raise ArtifactError(f"{folder} is not a SavedModel: it has no saved_model.pb{hint}")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            member = zipfile.ZipInfo(path.relative_to(folder).as_posix(), _NO_DATE)
            member.external_attr = 0o644 << 16
            archive.writestr(member, path.read_bytes(), zipfile.ZIP_DEFLATED)
    return buffer.getvalue()
