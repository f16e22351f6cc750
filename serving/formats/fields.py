"""Names of record fields as settings write them: dotted paths, with `[n]` for exactly n numbers."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from serving.core.errors import SettingsError
from serving.formats.base import FieldSelection

_NAME = re.compile(r"(?P<path>[^.\[\]]+(?:\.[^.\[\]]+)*)(?:\[(?P<count>[1-9][0-9]{0,5})\])?")


@dataclass(frozen=True, slots=True)
class FieldPath:
    """One selected field.

    Attributes:
        text: As the settings write it, without `[n]`.
        steps: The names from the record inwards; the last one is the field itself.
        count: Number of values of a repeated field or array; `None` for a single value.
    """

    text: str
    steps: tuple[str, ...]
    count: int | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the matrix columns that the field fills."""
        return (self.text,) if self.count is None else tuple(f"{self.text}[{i}]" for i in range(self.count))


def parse_field(name: str) -> FieldPath:
    """Read `inner.x` or `emb[64]`.

    Raises:
        SettingsError: The name is neither.
    """
    found = _NAME.fullmatch(name)
    if found is None:
        raise SettingsError(f"`{name}` is not a field name: expected a dotted path such as `inner.x`, or `emb[64]`")
    path, count = found["path"], found["count"]
    return FieldPath(path, tuple(path.split(".")), None if count is None else int(count))


def parse_fields(names: Iterable[str]) -> tuple[FieldPath, ...]:
    """Read several names.

    Raises:
        SettingsError: One is not a field name, or a field is named twice.
    """
    fields = tuple(parse_field(name) for name in names)
    seen: set[str] = set()
    for field in fields:
        if field.text in seen:
            raise SettingsError(f"field `{field.text}` is selected twice")
        seen.add(field.text)
    return fields


def text_names(selection: FieldSelection) -> tuple[str, ...]:
    """The selected text fields with the route field, which comes last unless it is one of them."""
    route = selection.route_field
    return selection.texts if route is None or route in selection.texts else (*selection.texts, route)


def nearest(name: str, known: Iterable[str]) -> str:
    """`; did you mean ...`, or what there is, to end the message about a name that is not known."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    if near:
        return "; did you mean " + " or ".join(f"`{other}`" for other in near) + "?"
    if not names:
        return ""
    shown = ", ".join(f"`{other}`" for other in names[:12])
    return f"; there are {shown}" + (f" and {len(names) - 12} more" if len(names) > 12 else "")
