"""The files of a SavedModel, from a directory, a zip or a tar, in memory and under fixed names.

Names inside an archive are compared with the few that a SavedModel may hold and never reach the file system. What is refused:
paths that lead elsewhere, links and special files, two files of one name, two models, any other file, more members or bytes
than the limits, and members that expand far beyond their compressed size. Sizes are checked before anything is expanded,
and while it is.
"""

from __future__ import annotations

import io
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from serving.core.errors import (
    DamagedModelError,
    HostileModelError,
    ModelLimitError,
    ModelRefusedError,
    UnsupportedModelError,
)

GRAPH_FILE = "saved_model.pb"
INDEX_FILE = "variables/variables.index"
_ALLOWED = re.compile(
    r"(?P<folder>(?:[\w.\-]+/){0,2}?)"
    r"(?P<file>saved_model\.pb|fingerprint\.pb|keras_metadata\.pb|variables/variables\.(?:index|data-\d{5}-of-\d{5}))",
    re.ASCII,
)
_MOST_MEMBERS = 256
_HIGHEST_RATIO = 200
"""Deflate reaches at most 1032, on data that is all alike, as no model's is."""
_FREE_BYTES = 1 << 20
"""What may be expanded at any ratio: small files of zeros compress well."""
_CHUNK_BYTES = 1 << 16


def read_files(payload: bytes, limit_bytes: int) -> dict[str, bytes]:
    """The files of the SavedModel in a zip or a tar (plain, gzip, bzip2 or xz): `saved_model.pb`, `variables/...`.

    Raises:
        HostileModelError: The archive holds what the module's docstring names.
        ModelLimitError: It would take more than `limit_bytes` or too many members.
        DamagedModelError: It is no archive, is cut short, or holds no SavedModel.
        UnsupportedModelError: It holds files that a servable SavedModel has no use for, assets among them.
    """
    if len(payload) > limit_bytes:
        raise ModelLimitError(f"the archive has {len(payload)} bytes; the limit is {limit_bytes}")
    intake = _Intake(limit_bytes, len(payload))
    try:
        if payload[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
            _read_zip(payload, intake)
        else:
            _read_tar(payload, intake)
    except ModelRefusedError:
        raise
    except (
        zipfile.BadZipFile,
        tarfile.TarError,
        zlib.error,
        EOFError,
        OSError,
        ValueError,
        NotImplementedError,
    ) as error:
        raise DamagedModelError(f"the SavedModel is neither a whole zip nor a whole tar: {error}") from error
    except Exception as error:  # archive libraries of the standard library leak others (struct, lzma, index, recursion)
        raise DamagedModelError(f"the archive cannot be read: {type(error).__name__}: {error}") from error
    return intake.whole()


def read_directory(directory: Path, limit_bytes: int) -> dict[str, bytes]:
    """The files of the SavedModel in `directory`. See `read_files`; links are not followed."""
    intake = _Intake(limit_bytes, None)
    if not directory.is_dir():
        raise DamagedModelError(f"{directory} is not a directory")
    for path in sorted(directory.rglob("*")):
        name = path.relative_to(directory).as_posix()
        if path.is_symlink():
            raise HostileModelError(f"{name!r} is a link; a SavedModel holds plain files")
        if path.is_dir():
            intake.enter_folder(name)
        elif path.is_file():
            with path.open("rb") as file:
                intake.add(name, path.stat().st_size, file.read)
        else:
            raise HostileModelError(f"{name!r} is a special file")
    return intake.whole()


@dataclass(slots=True)
class _Intake:
    """What was taken so far, and what may still come."""

    limit_bytes: int
    archive_bytes: int | None
    files: dict[str, bytes] = field(default_factory=dict)
    folder: str | None = None
    members: int = 0
    total_bytes: int = 0

    def enter_folder(self, name: str) -> None:
        """A directory of the archive: allowed where files may be, or empty `assets`."""
        self._count()
        if name.startswith("/") or ".." in name.split("/") or len(name) > 400:
            raise HostileModelError(f"the archive holds {name!r}, which leads out of it")

    def add(self, name: str, size: int, read: Callable[[int], bytes], compressed_size: int | None = None) -> None:
        """A file of `size` declared bytes, from `read(count)`."""
        self._count()
        match = _ALLOWED.fullmatch(name)
        if match is None or ".." in name.split("/"):
            raise self._foreign(name)
        folder, file = match["folder"], match["file"]
        if self.folder not in (None, folder):
            raise HostileModelError(f"the archive holds a second model: {name!r} beside folder {self.folder!r}")
        if file in self.files:
            raise HostileModelError(f"the archive holds {name!r} twice")
        self.folder = folder
        self._check_size(name, size, compressed_size)
        data = read(size + 1)
        if len(data) != size:
            raise DamagedModelError(f"{name!r} has {len(data)} bytes or more instead of the {size} it declares")
        self.total_bytes += size
        self.files[file] = data

    def whole(self) -> dict[str, bytes]:
        """The files, if they are a SavedModel."""
        if GRAPH_FILE not in self.files:
            raise DamagedModelError(f"there is no {GRAPH_FILE} in it")
        return self.files

    def _count(self) -> None:
        self.members += 1
        if self.members > _MOST_MEMBERS:
            raise ModelLimitError(f"the SavedModel has more than {_MOST_MEMBERS} files")

    def _check_size(self, name: str, size: int, compressed_size: int | None) -> None:
        if size < 0 or self.total_bytes + size > self.limit_bytes:
            raise ModelLimitError(f"with {name!r} the SavedModel has more than the {self.limit_bytes} bytes allowed")
        source = compressed_size if compressed_size is not None else self.archive_bytes
        if source is not None and size > _FREE_BYTES + _HIGHEST_RATIO * source:
            raise HostileModelError(f"{name!r} expands from {source} to {size} bytes")

    @staticmethod
    def _foreign(name: str) -> ModelRefusedError:
        if name.startswith(("/", "\\")) or ".." in name.replace("\\", "/").split("/") or "\0" in name or ":" in name:
            return HostileModelError(f"the archive holds {name!r}, which leads out of it")
        return UnsupportedModelError(
            f"{name!r} is none of the files that are served: {GRAPH_FILE}, fingerprint.pb, variables/variables.index and"
            " its data; models with assets or other files are not supported"
        )


def _read_zip(payload: bytes, intake: _Intake) -> None:
    with zipfile.ZipFile(io.BytesIO(payload)) as archive:
        for member in archive.infolist():
            kind = (member.external_attr >> 16) & 0o170000
            if kind not in (0, 0o100000, 0o040000):
                raise HostileModelError(f"{member.filename!r} is a link or a special file")
            if member.flag_bits & 1:
                raise UnsupportedModelError(f"{member.filename!r} is encrypted")
            if member.is_dir():
                intake.enter_folder(member.filename)
                continue
            with archive.open(member) as file:
                intake.add(member.filename, member.file_size, file.read, member.compress_size)


def _read_tar(payload: bytes, intake: _Intake) -> None:
    # The stream is expanded here, against the limits, rather than by `tarfile`: a header that declares a huge member would
    # make `tarfile` expand all of it to reach the next header.
    content = _expanded(payload, intake.limit_bytes)
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
        for member in archive:
            name = member.name.removeprefix("./")
            if member.isdir():
                intake.enter_folder(name)
                continue
            if not member.isreg() or member.issparse():
                raise HostileModelError(f"{member.name!r} is a link or a special file")
            file = archive.extractfile(member)
            if file is None:
                raise HostileModelError(f"{member.name!r} is not a plain file")
            intake.add(name, member.size, file.read)
        if archive.offset < len(content) and content[archive.offset :].strip(b"\0"):
            raise DamagedModelError("the tar is cut short or damaged after its last readable member")


def _expanded(payload: bytes, limit_bytes: int) -> bytes:
    pieces = []
    total = 0
    highest = min(limit_bytes + _FREE_BYTES, _FREE_BYTES + _HIGHEST_RATIO * len(payload))
    for piece in _decompressed(payload):
        total += len(piece)
        if total > highest:
            raise ModelLimitError(f"the archive of {len(payload)} bytes expands to more than {highest}")
        pieces.append(piece)
    return b"".join(pieces)


def _decompressed(payload: bytes) -> Iterator[bytes]:
    opener = next((opener for magic, opener in _openers().items() if payload.startswith(magic)), None)
    if opener is None:
        yield payload
        return
    with opener(io.BytesIO(payload)) as stream:
        while piece := stream.read(_CHUNK_BYTES):
            yield piece


def _openers() -> Mapping[bytes, Callable[[io.BytesIO], io.BufferedIOBase]]:
    import bz2
    import gzip
    import lzma

    return {
        b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
        b"BZh": bz2.BZ2File,
        b"\xfd7zXZ\x00": lzma.LZMAFile,
    }
