"""What is written on a command line in short: versions, arms, steps, guards, ranges; and groups with a command left out."""

from __future__ import annotations

import pytest
import typer
from typer.testing import CliRunner

from sluice.cli.groups import group_of
from sluice.cli.job_following import records_of
from sluice.cli.plan_text import arm_of, target_of, with_primary
from sluice.cli.rollout_text import guard_of, guard_text, rollout_lines, step_text, steps_of
from sluice.client import Arm, Target
from sluice.client.jobs import OffsetRange, TimeRange
from sluice.client.routing import Guard, Rollout, RolloutStep


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("tree:3", Target(model="tree", version="3")),
        ("tree:v3", Target(model="tree", version="3")),
        ("tree:champion", Target(model="tree", alias="champion")),
        ("tree:@v", Target(model="tree", alias="v")),
        ("data/tree:12", Target(model="data/tree", version="12")),
    ],
)
def test_a_version_is_a_model_and_a_number_or_an_alias(text, target):
    assert target_of(text, "--dark") == target


@pytest.mark.parametrize("text", ["tree", "tree:", ":3", "", "tree:@"])
def test_what_names_no_version_is_refused(text):
    with pytest.raises(typer.BadParameter, match="expected MODEL:VERSION"):
        target_of(text, "--dark")


def test_an_arm_has_a_name_a_version_and_a_share():
    assert arm_of("canary=net:4:12.5") == Arm("canary", "net", "4", None, 12.5)
    assert arm_of("canary=net:next:10%") == Arm("canary", "net", None, "next", 10.0)


@pytest.mark.parametrize("text", ["net:4:10", "canary=net:4", "canary=net:4:x", "canary=net:4:101", "=net:4:10"])
def test_what_is_no_arm_is_refused(text):
    with pytest.raises(typer.BadParameter):
        arm_of(text)


def test_the_primary_has_what_the_arms_leave():
    arms = with_primary(Target(model="tree", version="1"), [arm_of("a=net:1:33.3"), arm_of("b=net:2:0.2")])

    assert [arm.weight for arm in arms] == [66.5, 33.3, 0.2]
    with pytest.raises(typer.BadParameter, match="110 % together"):
        with_primary(Target(model="tree", version="1"), [arm_of("a=net:1:60"), arm_of("b=net:2:50")])


def test_steps_are_shares_and_times():
    assert steps_of("dark:30s,1%:60s, 25%:2m ,50%:1h,100%") == (
        RolloutStep(weight=0, bake_seconds=30),
        RolloutStep(weight=1, bake_seconds=60),
        RolloutStep(weight=25, bake_seconds=120),
        RolloutStep(weight=50, bake_seconds=3600),
        RolloutStep(weight=100, bake_seconds=60),
    )
    assert [step_text(step) for step in steps_of("dark:90,100%:0")] == ["dark for 90 s", "100 % for 0 s"]


@pytest.mark.parametrize("text", ["", "5", "dark:30s", "10%,5%,100%", "50%,50%,100%", "1%:fast,100%", "0.001%,100%"])
def test_what_are_no_steps_is_refused(text):
    with pytest.raises(typer.BadParameter):
        steps_of(text)


@pytest.mark.parametrize(
    ("text", "signal", "limit", "relative", "tolerance"),
    [
        ("error_rate<=0.01", "error_rate", 0.01, False, 0.0),
        ("error_rate <= 1%", "error_rate", 0.01, False, 0.0),
        ("error_rate<=+50%", "error_rate", 0.5, True, 0.01),
        ("p99_ms<=+50%", "p99_ms", 0.5, True, 2.0),
        ("p99_ms<=5ms", "p99_ms", 5.0, False, 0.0),
        ("p99_ms<=5", "p99_ms", 5.0, False, 0.0),
        ("psi<=0.25", "psi", 0.25, False, 0.0),
        ("disagreement<=5%", "disagreement", 0.05, False, 0.0),
    ],
)
def test_a_guard_is_a_signal_and_its_limit(text, signal, limit, relative, tolerance):
    guard = guard_of(text)

    assert (guard.signal, guard.limit, guard.relative, guard.tolerance) == (signal, limit, relative, tolerance)


@pytest.mark.parametrize(
    "text",
    [
        "psi",
        "psi<0.25",
        "luck<=1",
        "psi<=+50%",
        "p99_ms<=50%",
        "psi<=25%",
        "error_rate<=2",
        "error_rate<=5ms",
        "psi<=x",
    ],
)
def test_what_is_no_guard_is_refused(text):
    with pytest.raises(typer.BadParameter):
        guard_of(text)


def test_a_guard_tells_what_was_found():
    found = Guard(signal="p99_ms", limit=0.5, relative=True, status="breached", value=9.25, allowed=6.5, streak=2)

    assert guard_text(found) == "p99_ms <= +50 %: BROKEN (9.25 of 6.5 allowed), 2 of 3 times in a row"
    assert guard_text(Guard(signal="psi", limit=0.25)) == "psi <= 0.25: not looked at"


def test_a_rollout_shows_where_it_is():
    rollout = Rollout(
        id="42",
        key="wine",
        candidate=Target(model="net", version="4"),
        state="running",
        step=2,
        steps=steps_of("dark:30s,1%:60s,100%"),
        next="bakes for 12 s more",
    )

    assert rollout_lines(rollout) == [
        "rollout 42 of wine to net v4: running, step 2 of 3",
        "next: bakes for 12 s more",
        "  [x] 1. dark for 30 s",
        "  [>] 2. 1 % for 60 s",
        "  [ ] 3. 100 % for 60 s",
    ]


def test_records_are_ranges_or_an_interval_of_time():
    assert records_of(["0:10-20", "3:0-5"], None, None) == [OffsetRange(0, 10, 20), OffsetRange(3, 0, 5)]
    assert records_of([], "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z") == TimeRange(
        "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"
    )


@pytest.mark.parametrize(
    ("ranges", "first", "end"), [([], None, None), (["0:1-2"], "a", "b"), ([], "a", None), (["0-5"], None, None)]
)
def test_which_records_has_to_be_said_in_one_way(ranges, first, end):
    with pytest.raises(typer.BadParameter):
        records_of(ranges, first, end)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [([], "list None"), (["--word", "x"], "list x"), (["list", "--word", "y"], "list y"), (["other"], "other")],
)
def test_a_command_may_be_left_out(arguments, said):
    def list_(word: str | None = None) -> None:
        typer.echo(f"list {word}")

    def other() -> None:
        typer.echo("other")

    done = CliRunner().invoke(group_of({"list": list_, "other": other}, "A group.", "list"), arguments)

    assert done.stdout.strip() == said


def test_a_word_that_is_no_command_is_an_error_unless_it_can_be_a_name():
    def list_(name: str = typer.Argument("")) -> None:
        typer.echo(f"list {name}")

    def other() -> None:
        typer.echo("other")

    commands = {"list": list_, "other": other}

    assert CliRunner().invoke(group_of(commands, "A group.", "list"), ["tree"]).exit_code == 2
    named = CliRunner().invoke(group_of(commands, "A group.", "list", takes_name=True), ["tree"])
    assert named.stdout.strip() == "list tree"
