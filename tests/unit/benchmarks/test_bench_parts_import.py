"""Parts of the suite that CI does not run can at least be imported: a name that moved elsewhere is missed at once."""

import json
from importlib import import_module
from pathlib import Path

import pytest

from benchmarks.heavy import __main__ as heavy


@pytest.mark.parametrize("part", ["heavy.__main__", "size.__main__", "profile.__main__", "guard.__main__"])
def test_a_part_can_be_imported(part: str) -> None:
    assert import_module(f"benchmarks.{part}").main


@pytest.mark.parametrize(("asked", "measured"), [([], list(heavy.PARTS)), (["ten", "one"], ["ten", "one"])])
def test_all_heavy_parts_are_measured_unless_some_are_named(
    asked: list[str], measured: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts: list[str] = []

    def measure(part: str, options: object) -> dict[str, object]:
        parts.append(part)
        return {"of": part}

    monkeypatch.setattr(heavy, "_measure", measure)

    assert heavy.main([*asked, "--into", str(tmp_path)]) == 0

    assert parts == measured
    assert {path.stem: json.loads(path.read_text())["figures"]["of"] for path in tmp_path.iterdir()} == {
        p: p for p in measured
    }
