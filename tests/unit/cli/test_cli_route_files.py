"""Routes as files: what is read, what is wrong where, and what would change."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from sluice.cli.apply import as_data, differences, digest_of
from sluice.cli.plan_text import difference, document, summary
from sluice.cli.route_files import RouteFilesError, export_text, read_routes
from sluice.client import ABSENT, Arm, Plan, Rule, Speculation, Target
from sluice.client.answers import Route

FULL = """\
kind: Route
key: wine
arms:
  - {name: primary, model: wine-tree, version: 3, weight: 89.5}
  - {name: canary, model: wine-net, alias: next, weight: 10.5}
salt: s1
pins: {customer-7: canary}
rules:
  - {when: alcohol > 12.5, arm: canary}
dark:
  - {model: wine-forest, version: "7"}
fallback: {model: wine-linear, version: 1}
speculation: {decider: mean, timeout_ms: 80}
mode: immediate
deadline_seconds: 30
reason: a tenth
---
kind: Route
key: "beer-*"
arms:
  - {model: beer, version: 1}
"""

FULL_PLAN = Plan(
    arms=(
        Arm("primary", "wine-tree", "3", None, 89.5),
        Arm("canary", "wine-net", None, "next", 10.5),
    ),
    salt="s1",
    pins={"customer-7": "canary"},
    rules=(Rule("alcohol > 12.5", "canary"),),
    dark=(Target(model="wine-forest", version="7"),),
    fallback=Target(model="wine-linear", version="1"),
    speculation=Speculation("mean", 80),
)


def written(folder: Path, text: str, name: str = "routes.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def problems(folder: Path, text: str) -> list[str]:
    path = written(folder, text)
    with pytest.raises(RouteFilesError) as caught:
        read_routes([path])
    return [problem.removeprefix(f"{path}:") for problem in caught.value.problems]


def served(key: str, plan: Plan | None, revision: int = 7) -> Route:
    return Route(key=key, plan=plan, revision=revision)


def plain(version: str = "1", salt: str = "") -> Plan:
    return Plan(arms=(Arm(model="tree", version=version),), salt=salt)


def test_a_file_says_all_that_a_plan_can(tmp_path):
    found = read_routes([written(tmp_path, FULL)])

    assert list(found) == ["wine", "beer-*"]
    wine = found["wine"]
    assert wine.plan == FULL_PLAN
    assert (wine.mode, wine.deadline_seconds, wine.reason) == ("immediate", 30.0, "a tenth")
    assert wine.place == f"{tmp_path}/routes.yaml:1"
    assert found["beer-*"].plan == Plan(arms=(Arm("primary", "beer", "1", None, 100.0),))
    assert (found["beer-*"].mode, found["beer-*"].place) == ("exact", f"{tmp_path}/routes.yaml:18")


def test_a_folder_is_all_its_files(tmp_path):
    (tmp_path / "inner").mkdir()
    one, two = FULL.split("---\n")
    written(tmp_path, one, "a.yaml")
    written(tmp_path / "inner", two, "b.yml")
    written(tmp_path, "not a route", "notes.txt")

    assert sorted(read_routes([tmp_path])) == ["beer-*", "wine"]


@pytest.mark.parametrize("plan", [FULL_PLAN, plain(), plain("2", "other")])
def test_what_is_exported_is_read_back_as_the_same_plan(tmp_path, plan):
    text = export_text(served("wine", plan))

    assert read_routes([written(tmp_path, text)])["wine"].plan == plan


def test_an_export_names_the_alias_that_a_route_follows_and_not_where_it_points(tmp_path):
    plan = Plan(arms=(Arm(model="tree", version="4", alias="champion"),), digest="d1")

    assert yaml.safe_load(export_text(served("wine", plan)))["arms"] == [
        {"name": "primary", "model": "tree", "alias": "champion", "weight": 100}
    ]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("kind: Route\nkey: a\narms:\n  - {model: m, version: 1}\nwieght: 3\n", "5: a route has no member 'wieght'"),
        ("kind: Route\nkey: a\nkey: b\narms:\n  - {model: m, version: 1}\n", "3: a route has 'key' twice"),
        ("kind: Rote\nkey: a\narms:\n  - {model: m, version: 1}\n", "1: expected kind: Route, found 'Rote'"),
        ("key: a\narms:\n  - {model: m, version: 1}\n", "1: kind: Route is missing"),
        ("kind: Route\narms:\n  - {model: m, version: 1}\n", "1: key is missing"),
        ("kind: Route\nkey: a\n", "1: arms is missing"),
        ("kind: Route\nkey: a\narms: 3\n", "3: arms is a list, not '3'"),
        ("kind: Route\nkey: a\narms:\n  - {version: 1}\n", "4: an arm needs a model"),
        ("kind: Route\nkey: a\narms:\n  - {model: m}\n", "4: an arm needs either a version or an alias"),
        ("kind: Route\nkey: a\narms:\n  - {model: m, version: 1, alias: b}\n", "4: an arm needs either"),
        ("kind: Route\nkey: a\narms:\n  - {model: m, version: latest}\n", "4: version is a positive whole number"),
        ("kind: Route\nkey: a\narms:\n  - {model: m, version: 1, weight: 101}\n", "4: weight (percent) is a number"),
        ("kind: Route\nkey: a\narms:\n  - {model: m, version: 1, weight: .nan}\n", "4: weight (percent) is a number"),
        ("kind: Route\nkey: a\narms:\n  - {model: m, version: 1, weight: 33.333}\n", "4: weight has two decimals"),
        ("kind: Route\nkey: a\narms:\n  - {model: m, version: 1, weight: 99}\n", "4: the weights of all arms"),
        (
            "kind: Route\nkey: a\narms:\n  - {model: m, version: 1}\n  - {model: m, version: 2}\n",
            "4: every arm needs a weight",
        ),
        (
            "kind: Route\nkey: a\narms:\n  - {name: x, model: m, version: 1, weight: 50}\n"
            "  - {name: x, model: m, version: 2, weight: 50}\n",
            "4: two arms are named 'x'",
        ),
        ("kind: Route\nkey: a\narms:\n  - {model: m, version: 1}\npins: {e: x}\n", "5: entity 'e' is pinned to 'x'"),
        (
            "kind: Route\nkey: a\narms:\n  - {model: m, version: 1}\nrules:\n  - {when: a > 1, arm: x}\n",
            "6: there is no arm 'x'; the arms are primary",
        ),
        (
            "kind: Route\nkey: a\narms:\n  - {model: m, version: 1}\nrules:\n  - when: a >\n    arm: primary\n",
            "6: the rule 'a >' is not valid",
        ),
        ("kind: Route\nkey: a\narms:\n  - {model: m, version: 1}\nmode: now\n", "5: mode is exact or immediate"),
        ("kind: Route\nkey: a\narms:\n  - {model: m, version: 1}\ndeadline_seconds: 0\n", "5: deadline_seconds is"),
        ("kind: Route\nkey: a\narms:\n  - {model: m, version: 1}\nspeculation: {}\n", "5: speculation"),
        ("kind: Route\nkey: [a\n", "3: not YAML"),
        ("- 1\n", "1: a route is a mapping, not a list"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path, text, complaint):
    assert any(problem.startswith(complaint) for problem in problems(tmp_path, text)), problems(tmp_path, text)


def test_all_that_is_wrong_is_told_at_once(tmp_path):
    text = "kind: Route\nkey: a\narms:\n  - {model: m}\nmode: now\n---\nkind: Route\nkey: b\n"

    assert [problem.split(":")[0] for problem in problems(tmp_path, text)] == ["5", "4", "7"]


def test_a_route_that_two_files_have_is_wrong_in_the_second(tmp_path):
    first = written(tmp_path, FULL, "a.yaml")
    written(tmp_path, "kind: Route\nkey: wine\narms: [{model: m, version: 1}]\n", "b.yaml")

    with pytest.raises(RouteFilesError, match=f"b.yaml:1: the route 'wine' is in {first}:1 already"):
        read_routes([tmp_path])


@pytest.mark.parametrize(("name", "complaint"), [("nothing.yaml", "cannot be read"), (".", "has no .yaml file")])
def test_files_that_are_not_there_are_named(tmp_path, name, complaint):
    with pytest.raises(RouteFilesError, match=complaint):
        read_routes([tmp_path / name])


def test_a_file_that_says_what_is_served_changes_nothing_whatever_the_salt(tmp_path):
    files = read_routes([written(tmp_path, export_text(served("wine", plain())))])

    (found,) = differences(files, {"wine": served("wine", plain(salt="wine"))}, prune=True)

    assert (found.action, found.lines()) == ("unchanged", [])


def test_a_salt_that_a_file_names_is_compared(tmp_path):
    files = read_routes([written(tmp_path, export_text(served("wine", plain(salt="new"))))])

    (found,) = differences(files, {"wine": served("wine", plain(salt="wine"))}, prune=False)

    assert found.action == "change"
    assert "-salt: wine" in found.lines()


def test_routes_are_created_changed_and_deleted_only_where_the_files_say(tmp_path):
    files = read_routes([written(tmp_path, FULL)])
    routes = {
        "wine": served("wine", plain("3"), 5),
        "old": served("old", plain("1"), 6),
        "gone": served("gone", None, 4),
    }

    kept = [(each.key, each.action, each.revision) for each in differences(files, routes, prune=False)]
    pruned = [(each.key, each.action, each.revision) for each in differences(files, routes, prune=True)]

    assert kept == [("beer-*", "create", ABSENT), ("wine", "change", 5)]
    assert pruned == [*kept, ("old", "delete", 6)]


def test_a_route_that_once_served_is_created_on_its_revision(tmp_path):
    files = read_routes([written(tmp_path, export_text(served("wine", plain())))])

    (found,) = differences(files, {"wine": served("wine", None, 9)}, prune=False)

    assert (found.action, found.revision) == ("create", 9)


def test_the_digest_of_a_plan_is_of_what_changes_and_of_nothing_else(tmp_path):
    files = read_routes([written(tmp_path, FULL)])
    before = {"wine": served("wine", plain("3"), 5), "other": served("other", plain("1"), 6)}
    digest = digest_of(differences(files, before, prune=False))

    later = {"wine": served("wine", plain("3"), 11), "other": served("other", plain("2"), 12)}
    assert digest_of(differences(files, later, prune=False)) == digest
    moved = {"wine": served("wine", plain("4"), 5)}
    assert digest_of(differences(files, moved, prune=False)) != digest
    assert as_data(differences(files, before, prune=False))["digest"] == digest


def test_the_mode_is_part_of_what_was_approved(tmp_path):
    exact = read_routes([written(tmp_path, export_text(served("wine", plain())), "a.yaml")])
    at_once = read_routes([written(tmp_path, export_text(served("wine", plain())) + "mode: immediate\n", "b.yaml")])

    assert digest_of(differences(exact, {}, prune=False)) != digest_of(differences(at_once, {}, prune=False))


def test_a_difference_shows_the_lines_that_change():
    before, after = plain("1"), Plan(arms=(*plain("1").arms,), dark=(Target(model="net", version="2"),))

    assert difference(before, after, "wine")[3:] == [
        " arms:",
        "   - {name: primary, model: tree, version: '1', weight: 100}",
        "+dark:",
        "+  - {model: net, version: '2'}",
    ]
    assert difference(before, before, "wine") == []
    assert document(None) == ""


def test_a_plan_is_told_in_a_line():
    assert summary(plain()) == "tree v1"
    assert summary(None) == "nothing"
    assert summary(FULL_PLAN) == (
        "wine-tree v3 89.5 %, canary wine-net @next 10.5 %, dark wine-forest v7, fallback wine-linear v1, 1 rule, 1 pinned, "
        "mean of all within 80 ms"
    )
