"""A Python environment of a peer's own: exact versions, our schema, and this repository on its path.

Theory of operation: `folder/environment` is made by uv from the peer's `requirements.txt`, which names every package with
its version. Into it go a descriptor set of the messages (compiled here, so that an environment needs no compiler and may
hold another protobuf than ours) and a `.pth` file with the root of this repository, so that programs are run as modules.
A stamp is written last; it is the digest of all that went in. As long as it fits, there is nothing to do.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

from benchmarks.peer import NotRunnableError

PYTHON = "3.11"
"""The version that all packages of all peers have wheels for."""

_ROOT = Path(__file__).parents[3]
_PEERS = _ROOT / "benchmarks" / "peers"
_SCHEMAS = {
    _ROOT / "proto": ("modelserving/v1/records.proto", "modelserving/v1/descriptor.proto"),
    _ROOT / "sluice" / "demo": ("wine.proto",),
}
_SCHEMA_FILE = "schema.binpb"


def install(folder: Path, requirements: str) -> None:
    """Make an environment with `benchmarks/peers/<requirements>`; returns at once if it is there and nothing has changed.

    Raises:
        NotRunnableError: uv is not there, or a package cannot be had; with uv's own words.
    """
    pinned = _PEERS / requirements
    environment, stamp = folder / "environment", folder / "environment.stamp"
    schema = _descriptor_set()
    wanted = hashlib.sha256(
        b"\0".join((pinned.read_bytes(), Path(__file__).read_bytes(), schema, str(environment.resolve()).encode()))
    ).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    stamp.unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    uv = _uv()
    _run(uv, "venv", "--quiet", "--clear", "--python", PYTHON, str(environment))
    _run(uv, "pip", "sync", "--quiet", "--python", str(python(folder)), str(pinned))
    (environment / _SCHEMA_FILE).write_bytes(schema)
    (_site_packages(folder) / "repository.pth").write_text(f"{_ROOT}\n")
    stamp.write_text(wanted)


def python(folder: Path) -> Path:
    """The interpreter of the environment in `folder`."""
    return folder / "environment" / "bin" / "python"


def program(folder: Path, module: str) -> list[str]:
    """The command line that runs `module` of this repository in the environment in `folder`."""
    return [str(python(folder)), "-P", "-m", module]


def _uv() -> str:
    own = _ROOT / ".uv" / "bin" / "uv"
    found = str(own) if own.exists() else shutil.which("uv")
    if found is None:
        raise NotRunnableError(f"uv is neither at {own}, where `make` puts it, nor on the PATH")
    return found


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotRunnableError(f"{' '.join(command[:3])} failed: {done.stderr.strip()[-2_000:]}")


def _site_packages(folder: Path) -> Path:
    return folder / "environment" / "lib" / f"python{PYTHON}" / "site-packages"


def _descriptor_set() -> bytes:
    """All messages of the wire as one serialised `FileDescriptorSet`: such sets join by their bytes."""
    well_known = files("grpc_tools") / "_proto"
    return b"".join(
        subprocess.run(
            [sys.executable, "-m", "grpc_tools.protoc", f"-I{folder}", f"-I{well_known}", "--include_imports",
             "--descriptor_set_out=/dev/stdout", *names],
            capture_output=True, check=True,
        ).stdout
        for folder, names in _SCHEMAS.items()
    )  # fmt: skip
