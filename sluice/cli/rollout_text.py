"""Rollouts on a command line and on a screen: `dark:30s,1%:60s,100%`, `p99_ms<=+50%`, and where one is."""

from __future__ import annotations

import re
from itertools import pairwise

import typer

from sluice.cli.output import ago, when
from sluice.client.routing import Guard, Rollout, RolloutStep, Told

DEFAULT_STEPS = "dark:5m,1%:5m,10%:5m,50%:5m,100%:5m"

_STEP = re.compile(r"(?:dark|(\d+(?:\.\d{1,2})?)\s*%)(?:\s*:\s*(\d+(?:\.\d+)?)\s*(s|m|min|h)?)?", re.IGNORECASE)
_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600}
_GUARD = re.compile(r"([a-z0-9_]+)\s*<=\s*(\+?)\s*(\d+(?:\.\d+)?)\s*(%?|ms)")
_SIGNALS = ("error_rate", "p99_ms", "disagreement", "psi")
_RELATIVE = ("error_rate", "p99_ms")
_SHARES = ("error_rate", "disagreement")
_MARKS = {
    "ok": "holds",
    "breached": "BROKEN",
    "waiting": "too few records yet",
    "no_signal": "no signal",
    None: "not looked at",
}


def steps_of(text: str) -> tuple[RolloutStep, ...]:
    """`dark:30s,1%:60s,100%`: shares that rise to 100 %, each with how long it stays there at least (60 s)."""
    steps = []
    for part in text.split(","):
        match = _STEP.fullmatch(part.strip())
        if match is None:
            message = f"expected steps such as dark:30s,1%:60s,25%:2m,100%; found {part.strip()!r}"
            raise typer.BadParameter(message, param_hint="--steps")
        share, time, unit = match.groups()
        bake = 60.0 if time is None else float(time) * _UNITS[(unit or "s").lower()]
        steps.append(RolloutStep(weight=float(share) if share else 0.0, bake_seconds=bake))
    weights = [step.weight for step in steps]
    if weights[-1] != 100 or any(later <= sooner for sooner, later in pairwise(weights)):
        shown = ", ".join(f"{weight:g} %" for weight in weights)
        raise typer.BadParameter(f"the shares rise, and the last is 100 %; these are {shown}", param_hint="--steps")
    return tuple(steps)


def guard_of(text: str, minimum_records: int | None = None, breaches: int | None = None) -> Guard:
    """`error_rate<=0.01` or `error_rate<=1%`, `psi<=0.25`, `p99_ms<=5`; `p99_ms<=+50%`: half as much again as what serves now.

    A relative guard tolerates a little on top, because half of next to nothing is nothing: 0.01 of `error_rate`, 2 of `p99_ms`.
    """
    match = _GUARD.fullmatch(text.strip())
    if match is None or match[1] not in _SIGNALS:
        message = (
            f"expected SIGNAL<=LIMIT, such as error_rate<=0.01, psi<=0.25 or p99_ms<=+50%, of {', '.join(_SIGNALS)}"
        )
        raise typer.BadParameter(f"{message}; found {text!r}", param_hint="--guard")
    signal, plus, number, unit = match.groups()
    if plus and signal not in _RELATIVE:
        message = f"{signal} compares with what serves now anyway: leave out the +"
        raise typer.BadParameter(message, param_hint="--guard")
    limit = float(number) / 100 if unit == "%" else float(number)
    if (unit == "%" and not plus and signal not in _SHARES) or (unit == "ms" and (plus or signal != "p99_ms")):
        raise typer.BadParameter(f"{signal} is not limited in {unit}: {text!r}", param_hint="--guard")
    if signal in _SHARES and not plus and limit > 1:
        raise typer.BadParameter(f"{signal} is a share: its limit is at most 1 or 100%", param_hint="--guard")
    return Guard(
        signal=signal,
        limit=limit,
        relative=bool(plus),
        minimum_records=minimum_records or (1000 if signal == "p99_ms" else 500),
        breaches=breaches or 3,
        tolerance=({"error_rate": 0.01, "p99_ms": 2.0}[signal]) if plus else 0.0,
    )


def step_text(step: RolloutStep) -> str:
    """`25 % for 120 s`."""
    share = f"{step.weight:g} %" if step.weight else "dark"
    return f"{share} for {step.bake_seconds:g} s"


def guard_text(guard: Guard) -> str:
    """`psi <= 0.25: holds (0.031)`."""
    limit = f"+{guard.limit * 100:g} %" if guard.relative else f"{guard.limit:g}"
    found = (
        ""
        if guard.value is None
        else f" ({guard.value:.4g}" + (f" of {guard.allowed:.4g} allowed)" if guard.allowed is not None else ")")
    )
    streak = f", {guard.streak} of {guard.breaches} times in a row" if guard.streak else ""
    why = f": {guard.why}" if guard.why else ""
    return f"{guard.signal} <= {limit}: {_MARKS.get(guard.status, guard.status)}{found}{streak}{why}"


def state_line(rollout: Rollout) -> str:
    """Where it is, in a line."""
    return f"rollout {rollout.id} of {rollout.key} to {rollout.candidate}: {rollout.state.replace('_', ' ')}, " + (
        f"step {rollout.step} of {len(rollout.steps)}" if rollout.step else "before its first step"
    )


def rollout_lines(rollout: Rollout) -> list[str]:
    """All of it, for people."""
    lines = [state_line(rollout)]
    if rollout.next:
        lines.append(f"next: {rollout.next}")
    if rollout.baseline is not None:
        back = ", and goes back to it if a guard fails or somebody aborts it" if rollout.is_open else ""
        lines.append(f"began with {rollout.baseline}{back}")
    for number, step in enumerate(rollout.steps, 1):
        mark = _mark(rollout, number)
        lines.append(f"  [{mark}] {number}. {step_text(step)}")
    lines += [f"  guard {guard_text(guard)}" for guard in rollout.guards]
    if rollout.created_at is not None:
        why = f": {rollout.reason}" if rollout.reason else ""
        lines.append(f"started {when(rollout.created_at)} by {rollout.actor or '-'}{why}")
    lines += [f"  {ago(told.at)}, {told.actor or 'sluice'}: {told_text(told)}" for told in rollout.story]
    return lines


def told_text(told: Told) -> str:
    """What was decided, and why."""
    if told.action == "step" and told.reason:
        return told.reason
    return f"{told.action}: {told.reason}" if told.reason else told.action


def _mark(rollout: Rollout, number: int) -> str:
    """`x`: it was there, `>`: it is there, else it is still to come, or never will."""
    if number == rollout.step and rollout.is_open:
        return ">"
    return "x" if number <= rollout.step else " "
