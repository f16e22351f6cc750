"""The page: the template `page.md` with tables, plots and hand-written sections in the places that it names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from benchmarks.report.sources import Sources
from benchmarks.report.tables import TABLES

_TEMPLATE = Path(__file__).parent / "page.md"
_PLACE = re.compile(r"\{\{(table|plot|section):([a-z0-9-]+)\}\}")
_NOT_YET = "*Not measured yet.*"


def page(sources: Sources, sections: Mapping[str, str], drawn: set[str], template: str | None = None) -> str:
    """The text of `docs/benchmarks.md`.

    `{{table:costs}}` is made from figures, `{{plot:cost}}` is every plot whose name begins so, and `{{section:profile}}` is the
    file of that name, which people write. What there are no figures for says so.

    Raises:
        KeyError: The template names a table that nobody makes.
    """

    def put(match: re.Match[str]) -> str:
        kind, name = match.groups()
        if kind == "section":
            return sections.get(name, "")
        if kind == "table":
            return TABLES[name](sources) or _NOT_YET
        shown = sorted(each for each in drawn if each.startswith(name))
        return "\n\n".join(f"![{each}](benchmarks/{each}.svg)" for each in shown)

    text = _PLACE.sub(put, template if template is not None else _TEMPLATE.read_text())
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"
