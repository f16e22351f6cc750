"""YAML documents whose values know the line that they stand on, so that what is wrong can be pointed at.

Every reader here takes a node and gives a value; what is wrong is noted in `Problems` and reading goes on, so that a person
sees all of it at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import yaml

Value = TypeVar("Value")


@dataclass(slots=True)
class Problems:
    """What is wrong in one file.

    Attributes:
        path: As it was given.
        found: `path:line: message`, in the order of reading.
    """

    path: Path
    found: list[str] = field(default_factory=list)

    def note(self, node: yaml.Node, message: str) -> None:
        """Something is wrong at `node`."""
        self.found.append(f"{self.path}:{line_of(node)}: {message}")


def documents(problems: Problems, text: str) -> list[yaml.Node]:
    """The documents of a file; none where it is no YAML."""
    try:
        return [node for node in yaml.compose_all(text, yaml.SafeLoader) if node is not None]
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark is not None else 1
        said = getattr(error, "problem", None) or str(error)
        problems.found.append(f"{problems.path}:{line}: not YAML: {said}")
        return []


def line_of(node: yaml.Node) -> int:
    """From 1 on."""
    return int(node.start_mark.line) + 1


def mapping(problems: Problems, node: yaml.Node, known: Iterable[str] | None, what: str) -> dict[str, yaml.Node]:
    """The members of a mapping; without `known`, any may be there."""
    if not isinstance(node, yaml.MappingNode):
        problems.note(node, f"{what} is a mapping, not {_kind(node)}")
        return {}
    allowed = None if known is None else tuple(known)
    found: dict[str, yaml.Node] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            problems.note(key, f"{what} has a member whose name is {_kind(key)}")
        elif key.value in found:
            problems.note(key, f"{what} has {key.value!r} twice")
        elif allowed is not None and key.value not in allowed:
            problems.note(key, f"{what} has no member {key.value!r}; it may have {', '.join(allowed)}")
        else:
            found[key.value] = value
    return found


def sequence(
    problems: Problems, node: yaml.Node | None, what: str, read: Callable[[yaml.Node], Value | None]
) -> tuple[Value, ...]:
    """The entries of a list, those that could be read; none without a node."""
    if node is None or _is_null(node):
        return ()
    if not isinstance(node, yaml.SequenceNode):
        problems.note(node, f"{what} is a list, not {_kind(node)}")
        return ()
    return tuple(found for each in node.value if (found := read(each)) is not None)


def text(problems: Problems, node: yaml.Node | None, what: str) -> str | None:
    """A text, or a number as it is written; `None` without a node."""
    if node is None or _is_null(node):
        return None
    if not isinstance(node, yaml.ScalarNode):
        problems.note(node, f"{what} is a text, not {_kind(node)}")
        return None
    return str(node.value)


def number(problems: Problems, node: yaml.Node | None, what: str, least: float, most: float) -> float | None:
    """A number; `None` without a node."""
    written = text(problems, node, what)
    if written is None or node is None:
        return None
    try:
        found = float(written)
    except ValueError:
        found = float("nan")
    if not least <= found <= most:
        problems.note(node, f"{what} is a number from {least:g} to {most:g}, not {written!r}")
        return None
    return found


def is_missing(node: yaml.Node | None) -> bool:
    """It is not there, or null."""
    return node is None or _is_null(node)


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"


def _kind(node: yaml.Node) -> str:
    if isinstance(node, yaml.MappingNode):
        return "a mapping"
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    return f"{node.value!r}" if node.value else "empty"
