"""Write `proto/gen` from the `.proto` files, with the protoc that the pinned `grpcio-tools` carries.

Run `python proto/generate.py`; with `--check` it writes nothing and fails if the committed code is out of date.
"""

from __future__ import annotations

import sys
import tempfile
from importlib import resources
from pathlib import Path

from grpc_tools import protoc

HERE = Path(__file__).parent


def generate(target: Path) -> None:
    sources = sorted(str(path.relative_to(HERE)) for path in HERE.glob("modelserving/**/*.proto"))
    well_known = resources.files("grpc_tools") / "_proto"
    arguments = ["protoc", f"-I{HERE}", f"-I{well_known}", f"--python_out={target}", f"--pyi_out={target}", *sources]
    if protoc.main(arguments) != 0:
        raise SystemExit("protoc failed; its message is above")


def main() -> None:
    committed = HERE / "gen"
    if "--check" not in sys.argv:
        generate(committed)
        return
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder))
        fresh = {path.relative_to(folder): path.read_bytes() for path in Path(folder).rglob("*_pb2.py*")}
    present = {name: (committed / name).read_bytes() for name in fresh if (committed / name).exists()}
    stale = [str(name) for name, text in fresh.items() if present.get(name) != text]
    if stale:
        raise SystemExit(f"out of date, run `python proto/generate.py`: {', '.join(stale)}")


if __name__ == "__main__":
    main()
