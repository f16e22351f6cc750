"""`python -m benchmarks report`: reads `benchmarks/results/*.json` and `sections/*.md`, writes the page and its plots."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.report.page import page
from benchmarks.report.plots import plots
from benchmarks.report.sources import read_sources

_PROJECT = Path(__file__).parent.parent.parent
_SECTIONS = Path(__file__).parent / "sections"


def main(arguments: list[str]) -> int:
    """Returns 1 with `--check` if the page is not what the figures make."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks report", description=__doc__)
    parser.add_argument(
        "--results", type=Path, default=_PROJECT / "benchmarks" / "results", help="folder of the figures"
    )
    parser.add_argument("--docs", type=Path, default=_PROJECT / "docs", help="folder of the page")
    parser.add_argument("--check", action="store_true", help="write nothing, say whether the page is up to date")
    options = parser.parse_args(arguments)
    sources = read_sources(options.results)
    sections = {path.stem: path.read_text().strip() for path in sorted(_SECTIONS.glob("*.md"))}
    drawn = plots(sources)
    files = {options.docs / "benchmarks.md": page(sources, sections, set(drawn))}
    files |= {options.docs / "benchmarks" / f"{name}.svg": text for name, text in drawn.items()}
    if options.check:
        stale = [path for path, text in files.items() if not path.exists() or path.read_text() != text]
        for path in stale:
            print(f"{path} is not what the figures make: run `python -m benchmarks report`")
        return 1 if stale else 0
    (options.docs / "benchmarks").mkdir(parents=True, exist_ok=True)
    for path in (options.docs / "benchmarks").glob("*.svg"):
        path.unlink()
    for path, text in files.items():
        path.write_text(text)
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
