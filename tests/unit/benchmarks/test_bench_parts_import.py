"""Parts of the suite that CI does not run can at least be imported: a name that moved elsewhere is missed at once."""

from importlib import import_module

import pytest


@pytest.mark.parametrize("part", ["heavy.__main__", "size.__main__", "profile.__main__", "guard.__main__"])
def test_a_part_can_be_imported(part: str) -> None:
    assert import_module(f"benchmarks.{part}").main
