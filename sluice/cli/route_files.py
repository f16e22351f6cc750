"""Routes as files: what each serves, to be kept in Git.

    kind: Route
    key: wine
    arms:
      - {name: primary, model: wine-tree, version: 3, weight: 90}
      - {name: canary, model: wine-net, alias: next, weight: 10}
    rules:
      - {when: alcohol > 12.5, arm: canary}
    dark:
      - {model: wine-forest, version: 7}
    fallback: {model: wine-linear, version: 1}
    mode: exact
    reason: the network is ready for a tenth

A file has one document or several; a folder is all its `.yaml` and `.yml` files. The members are those of
`PUT /api/v1/deployments/{key}`. What is wrong is found here, before anything is sent, with the file and the line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from model_store.core.rules import InvalidRuleError, compile_rule
from sluice.cli.plan_text import members, to_yaml
from sluice.cli.yaml_nodes import Problems, documents, is_missing, line_of, mapping, number, sequence, text
from sluice.client.answers import Route
from sluice.client.plans import PRIMARY, Arm, Plan, Rule, Speculation, Target

_MEMBERS = (
    "kind", "key", "arms", "salt", "pins", "rules", "dark", "fallback", "speculation", "mode", "deadline_seconds", "reason",
)  # fmt: skip
_LONGEST_DEADLINE = 86_400


class RouteFilesError(Exception):
    """The files cannot be used; a line for each thing that is wrong.

    Attributes:
        problems: `path:line: message`.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(problems))


@dataclass(frozen=True, slots=True)
class RouteFile:
    """One document.

    Attributes:
        place: `path:line`.
        mode: `exact` or `immediate`.
    """

    place: str
    key: str
    plan: Plan
    mode: str = "exact"
    deadline_seconds: float | None = None
    reason: str = ""

    @property
    def salt_given(self) -> bool:
        """The file says how entities are dealt; otherwise they stay as they are."""
        return bool(self.plan.salt)


def read_routes(paths: Sequence[Path]) -> dict[str, RouteFile]:
    """The routes in files and folders, by key.

    Raises:
        RouteFilesError: Something is wrong with one of them, or there is none.
    """
    found: dict[str, RouteFile] = {}
    wrong: list[str] = []
    files = [file for path in paths for file in _files(path, wrong)]
    for file in files:
        problems = Problems(file)
        try:
            content = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            wrong.append(f"{file}: cannot be read: {getattr(error, 'strerror', None) or error}")
            continue
        for node in documents(problems, content):
            route = _route(problems, node)
            if route is not None and route.key in found:
                problems.note(node, f"the route {route.key!r} is in {found[route.key].place} already")
            elif route is not None:
                found[route.key] = route
        wrong += problems.found
    if wrong:
        raise RouteFilesError(wrong)
    if not found:
        raise RouteFilesError([f"no route in {', '.join(map(str, paths))}"])
    return found


def export_text(route: Route) -> str:
    """A document that `read_routes` reads back as what the route serves."""
    said: dict[str, Any] = {"kind": "Route", "key": route.key}
    return to_yaml(said | (members(route.plan) if route.plan is not None else {}))


def _files(path: Path, wrong: list[str]) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(each for each in path.rglob("*") if each.suffix in (".yaml", ".yml") and each.is_file())
    if not found:
        wrong.append(f"{path}: has no .yaml file")
    return found


def _route(problems: Problems, node: yaml.Node) -> RouteFile | None:
    before = len(problems.found)
    said = mapping(problems, node, _MEMBERS, "a route")
    if not said:
        return None
    kind = text(problems, said.get("kind"), "kind")
    if kind != "Route":
        problems.note(
            said.get("kind", node), f"expected kind: Route, found {kind!r}" if kind else "kind: Route is missing"
        )
    key = text(problems, said.get("key"), "key")
    if not key:
        problems.note(said.get("key", node), "key is missing: the data type, a pattern such as wine-*, or *")
    mode = text(problems, said.get("mode"), "mode") or "exact"
    if mode not in ("exact", "immediate"):
        problems.note(said["mode"], f"mode is exact or immediate, not {mode!r}")
    plan = _plan(problems, node, said)
    deadline = number(problems, said.get("deadline_seconds"), "deadline_seconds", 1, _LONGEST_DEADLINE)
    reason = text(problems, said.get("reason"), "reason") or ""
    if len(problems.found) > before or key is None:
        return None
    return RouteFile(f"{problems.path}:{line_of(node)}", key, plan, mode, deadline, reason)


def _plan(problems: Problems, node: yaml.Node, said: dict[str, yaml.Node]) -> Plan:
    arms = sequence(problems, said.get("arms"), "arms", lambda each: _arm(problems, each))
    if is_missing(said.get("arms")):
        problems.note(node, "arms is missing: at least the primary, {model: ..., version: ...}")
    _check_weights(problems, said.get("arms"), arms)
    named = tuple(_named(arm, place) for place, arm in enumerate(arms, 1))
    names = [arm.name for arm in named]
    for name in sorted({name for name in names if names.count(name) > 1}):
        problems.note(said["arms"], f"two arms are named {name!r}")
    speculation = said.get("speculation")
    fallback = said.get("fallback")
    return Plan(
        arms=named,
        salt=text(problems, said.get("salt"), "salt") or "",
        pins=_pins(problems, said.get("pins"), names),
        rules=sequence(problems, said.get("rules"), "rules", lambda each: _rule(problems, each, names)),
        dark=sequence(problems, said.get("dark"), "dark", lambda each: _target(problems, each, "a dark version")),
        fallback=None if fallback is None or is_missing(fallback) else _target(problems, fallback, "fallback"),
        speculation=None if speculation is None or is_missing(speculation) else _speculation(problems, speculation),
    )


def _arm(problems: Problems, node: yaml.Node) -> Arm | None:
    said = mapping(problems, node, ("name", "model", "version", "alias", "weight"), "an arm")
    target = _version(problems, node, said, "an arm") if said else None
    weight = number(problems, said.get("weight"), "weight (percent)", 0, 100)
    if weight is not None and abs(weight * 100 - round(weight * 100)) > 1e-6:
        problems.note(said["weight"], f"weight has two decimals at most, not {weight!r}")
    if target is None:
        return None
    name = text(problems, said.get("name"), "name") or ""
    # No weight is told from any that can be given by being below 0.
    return Arm(name, target.model, target.version, target.alias, -1.0 if weight is None else weight)


def _named(arm: Arm, place: int) -> Arm:
    """With the name and the weight that it has where the file says none; `place` counts from 1."""
    name = arm.name or (PRIMARY if place == 1 else f"arm-{place}")
    return Arm(name, arm.model, arm.version, arm.alias, 100.0 if arm.weight < 0 else arm.weight)


def _check_weights(problems: Problems, node: yaml.Node | None, arms: tuple[Arm, ...]) -> None:
    if not arms or node is None:
        return
    if any(arm.weight < 0 for arm in arms) and len(arms) > 1:
        problems.note(node, "every arm needs a weight where there are several")
    elif (total := sum(arm.weight for arm in arms)) >= 0 and abs(total - 100) > 1e-6:
        problems.note(node, f"the weights of all arms together are 100 percent, these are {total:g}")


def _target(problems: Problems, node: yaml.Node, what: str) -> Target | None:
    said = mapping(problems, node, ("model", "version", "alias"), what)
    return _version(problems, node, said, what) if said else None


def _version(problems: Problems, node: yaml.Node, said: dict[str, yaml.Node], what: str) -> Target | None:
    model = text(problems, said.get("model"), "model")
    version = text(problems, said.get("version"), "version")
    alias = text(problems, said.get("alias"), "alias")
    if not model:
        problems.note(node, f"{what} needs a model")
    if (version is None) == (alias is None):
        problems.note(node, f"{what} needs either a version or an alias")
    if version is not None and not (version.isascii() and version.isdecimal() and version[0] != "0"):
        problems.note(said["version"], f"version is a positive whole number, not {version!r}")
    return Target(model=model, version=version, alias=alias) if model else None


def _rule(problems: Problems, node: yaml.Node, names: list[str]) -> Rule | None:
    said = mapping(problems, node, ("when", "arm"), "a rule")
    when, arm = text(problems, said.get("when"), "when"), text(problems, said.get("arm"), "arm")
    if not (when and arm):
        problems.note(node, "a rule needs when (a CEL expression) and arm")
        return None
    if arm not in names:
        problems.note(said["arm"], f"there is no arm {arm!r}; the arms are {', '.join(names)}")
    try:
        compile_rule(when)
    except InvalidRuleError as error:
        problems.note(said["when"], str(error))
    return Rule(when, arm)


def _pins(problems: Problems, node: yaml.Node | None, names: list[str]) -> dict[str, str]:
    if node is None or is_missing(node):
        return {}
    found = {}
    for entity, arm in mapping(problems, node, None, "pins").items():
        named = text(problems, arm, f"the arm of {entity!r}") or ""
        if named not in names:
            problems.note(arm, f"entity {entity!r} is pinned to {named!r}; the arms are {', '.join(names)}")
        found[entity] = named
    return found


def _speculation(problems: Problems, node: yaml.Node) -> Speculation | None:
    said = mapping(problems, node, ("decider", "timeout_ms"), "speculation")
    decider = text(problems, said.get("decider"), "decider")
    timeout = number(problems, said.get("timeout_ms"), "timeout_ms", 1, 60_000)
    if not decider:
        problems.note(node, "speculation needs a decider: first, best_confidence, vote or mean")
        return None
    return Speculation(decider, 150 if timeout is None else int(timeout))
