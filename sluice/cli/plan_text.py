"""Plans as text for people: one line, the document of a file, and what differs between two of them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

import typer
import yaml

from sluice.client.plans import PRIMARY, Arm, Plan, Target
from sluice.client.routing import RoutePlan

_COLOURS = {"+": "green", "-": "red", "@": "cyan"}


def summary(plan: Plan | None) -> str:
    """A plan in a line: `wine-tree v3 90 %, canary wine-net v4 10 %, dark wine-old v1`."""
    if plan is None:
        return "nothing"
    arms = plan.arms
    parts = [str(arms[0].target)] if len(arms) == 1 else [_share(arm) for arm in arms]
    parts += [f"dark {target}" for target in plan.dark]
    parts += [f"fallback {plan.fallback}"] if plan.fallback is not None else []
    parts += [f"{len(plan.rules)} rule{'s' * (len(plan.rules) != 1)}"] if plan.rules else []
    parts += [f"{len(plan.pins)} pinned"] if plan.pins else []
    parts += [f"{plan.speculation.decider} of all within {plan.speculation.timeout_ms} ms"] if plan.speculation else []
    return ", ".join(parts)


def members(plan: Plan, with_salt: bool = True) -> dict[str, Any]:
    """What a file says of a plan: what is sent, in its order. A version that was found by an alias is that alias."""
    said = plan.body()
    if not with_salt:
        said.pop("salt", None)
    return said


def document(plan: Plan | None, with_salt: bool = True) -> str:
    """A plan as YAML; empty for none."""
    return to_yaml(members(plan, with_salt)) if plan is not None else ""


def to_yaml(said: dict[str, Any]) -> str:
    """A document as it stands in a file: in the order given, a small list or mapping in one line."""
    text = yaml.dump(
        {name: _flow(value) for name, value in said.items()},
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=10_000,
    )
    return str(text)


def difference(before: Plan | None, after: Plan | None, key: str, with_salt: bool = True) -> list[str]:
    """A unified diff of two plans, whole; empty if they say the same."""
    return list(
        difflib.unified_diff(
            document(before, with_salt).splitlines(),
            document(after, with_salt).splitlines(),
            f"{key} (serves now)" if before is not None else "nothing",
            f"{key} (would serve)" if after is not None else "nothing",
            lineterm="",
            n=1_000,
        )
    )


def print_difference(lines: Iterable[str]) -> None:
    """A diff, in colours on a terminal."""
    for line in lines:
        is_head = line.startswith(("---", "+++"))
        typer.secho(f"  {line}", fg=None if is_head else _COLOURS.get(line[:1]), bold=is_head)


def print_route_plan(found: RoutePlan) -> None:
    """What a change of a route would come to."""
    lines = difference(found.before, found.plan, found.key)
    if not lines:
        typer.echo(f"{found.key} serves this already: nothing would change.")
        return
    print_difference(lines)
    how = "exactly, at offsets that its workers promise" if found.mode == "exact" else "immediately"
    typer.echo(
        f"{found.key} would go over {how}; {found.moved:g} % of the entities would be scored by another version."
    )
    if found.plan is not None and found.plan.digest:
        typer.echo(f"Plan {found.plan.digest}, decided on revision {found.revision}. Nothing was written.")
    else:
        typer.echo("Nothing was written.")


def target_of(text: str, option: str) -> Target:
    """`MODEL:VERSION` or `MODEL:ALIAS` (or `MODEL:@ALIAS`) of a command line."""
    model, colon, named = text.rpartition(":")
    if not (colon and model and named.removeprefix("@")):
        raise typer.BadParameter(f"expected MODEL:VERSION or MODEL:ALIAS, found {text!r}", param_hint=option)
    number = named.removeprefix("v")
    if number.isdecimal():
        return Target(model=model, version=number)
    return Target(model=model, alias=named.removeprefix("@"))


def arm_of(text: str) -> Arm:
    """`NAME=MODEL:VERSION:PERCENT` of a command line."""
    name, equals, rest = text.partition("=")
    named, _, percent = rest.rpartition(":")
    try:
        weight = float(percent.removesuffix("%"))
    except ValueError:
        weight = -1.0
    if not (equals and name and named) or not 0 <= weight <= 100:
        message = f"expected NAME=MODEL:VERSION:PERCENT, such as canary=wine-net:4:10, found {text!r}"
        raise typer.BadParameter(message, param_hint="--arm")
    target = target_of(named, "--arm")
    return Arm(name, target.model, target.version, target.alias, weight)


def with_primary(target: Target, others: list[Arm]) -> tuple[Arm, ...]:
    """The arms of a plan: the primary has what the others leave."""
    rest = round(100.0 - sum(arm.weight for arm in others), 2)
    if rest < 0:
        raise typer.BadParameter(f"the arms have {100 - rest:g} % together, more than there is", param_hint="--arm")
    return (Arm(PRIMARY, target.model, target.version, target.alias, rest), *others)


class _Dumper(yaml.SafeDumper):
    """Writes `_Line` in one line, and indents the entries of lists."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


class _Line(dict[str, Any]):
    """A mapping that is written in one line."""


_Dumper.add_representer(
    _Line, lambda dumper, data: dumper.represent_mapping("tag:yaml.org,2002:map", data.items(), flow_style=True)
)


def _flow(value: Any) -> Any:
    if isinstance(value, list):
        return [_line(each) for each in value]
    return _line(value) if isinstance(value, dict) and "model" in value else _number(value)


def _line(value: Any) -> Any:
    return _Line((name, _number(each)) for name, each in value.items()) if isinstance(value, dict) else value


def _number(value: Any) -> Any:
    """A whole number without its `.0`."""
    return int(value) if isinstance(value, float) and value == int(value) else value


def _share(arm: Arm) -> str:
    name = "" if arm.name == PRIMARY else f"{arm.name} "
    return f"{name}{arm.target} {arm.weight:g} %"
