"""Where TensorFlow is installed, found without importing it.

`tensorflow` and `tensorflow-cpu` are two distributions of the same package folder; both carry the C library and the
generated protobuf modules. Importing the package costs seconds and half a gigabyte, so nothing here does.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from serving.core.errors import EngineUnavailableError

_INSTALL_HINT = "install `tensorflow-cpu` (Linux on x86-64) or `tensorflow` (elsewhere), version 2.21"


def package_folder() -> Path:
    """The folder of the installed `tensorflow` package.

    Raises:
        EngineUnavailableError: TensorFlow is not installed.
    """
    try:
        spec = importlib.util.find_spec("tensorflow")
    except ValueError:  # a module of that name is there, but it was put there by hand and has no spec
        spec = None
    for location in (spec.submodule_search_locations if spec else None) or ():
        if (Path(location) / "core").is_dir():
            return Path(location)
    raise EngineUnavailableError(
        f"TensorFlow models need the TensorFlow wheel, which is not installed: {_INSTALL_HINT}"
    )


def library_files() -> tuple[Path, Path]:
    """The framework library and the C API library, in the order in which they must be opened.

    Raises:
        EngineUnavailableError: TensorFlow is not installed, or its wheel has no C library.
    """
    pattern = "lib{}.2.dylib" if sys.platform == "darwin" else "lib{}.so.2"
    folder = package_folder()
    files = (folder / pattern.format("tensorflow_framework"), folder / pattern.format("tensorflow_cc"))
    for file in files:
        if not file.exists():
            raise EngineUnavailableError(f"the TensorFlow in {folder} has no {file.name}: {_INSTALL_HINT}")
    return files
