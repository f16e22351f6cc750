"""The account, the view and the lines to try next."""

from __future__ import annotations

import io
import json
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from sluice.demo.account import Account
from sluice.demo.next_steps import command_name, next_steps
from sluice.demo.progress import Progress
from sluice.demo.reader import ReadReport
from sluice.demo.records import encode_wines, poison, read_wines
from sluice.demo.story import CHAPTERS, OPENING, Swap
from sluice.demo.view import Lines, Picture, sparkline, view_for

ACCOUNT = Account(
    sent=10,
    results=8,
    dead_letters=2,
    lost=0,
    duplicated=0,
    swaps=5,
    refused=1,
    results_by_version={"wine-quality/1": 8},
    worst_swap_ms=1.23456,
    seconds=2.0,
)
LIVE = Swap(OPENING[0], 0, 1, False, "", 12.0, 0.5)
REFUSED = Swap(CHAPTERS[-1], 0, 2, True, "it stops in the middle")


def test_an_account_balances_if_every_record_has_one_answer():
    assert ACCOUNT.balances
    assert not replace(ACCOUNT, lost=1).balances
    assert not replace(ACCOUNT, duplicated=1).balances
    assert not replace(ACCOUNT, sent=11).balances


def test_the_account_for_machines_has_exactly_the_agreed_members():
    assert list(json.loads(json.dumps(ACCOUNT.as_json()))) == [
        "sent",
        "results",
        "dead_letters",
        "lost",
        "duplicated",
        "swaps",
        "refused",
        "results_by_version",
        "worst_swap_ms",
        "seconds",
    ]


def test_the_account_for_people_says_so_when_it_does_not_balance():
    assert "The account balances." in ACCOUNT.lines()[0]
    assert "does NOT balance" in replace(ACCOUNT, lost=1).lines()[0]


def test_the_story_goes_as_told_if_only_the_damaged_model_is_refused():
    assert LIVE.went_as_told
    assert REFUSED.went_as_told
    assert not replace(LIVE, is_refused=True).went_as_told
    assert not replace(REFUSED, is_refused=False).went_as_told


def test_every_chapter_publishes_a_file_that_is_there():
    assert all(chapter.path.is_file() for chapter in (*OPENING, *CHAPTERS))
    assert [chapter.is_damaged for chapter in CHAPTERS] == [False] * (len(CHAPTERS) - 1) + [True]


def test_a_refused_model_serves_nothing():
    progress = Progress(opening=(LIVE,), swaps=(REFUSED,))

    assert progress.serving() == {"wine": LIVE}


def test_without_a_terminal_each_happening_is_one_line():
    output = io.StringIO()
    view = view_for(Console(file=output, width=80))
    assert isinstance(view, Lines)

    with view:
        view.show(Progress(0.0, "scoring", opening=(LIVE,)))
        view.show(Progress(0.5, "scoring", opening=(LIVE,), swaps=(REFUSED,)))
        view.show(Progress(0.6, "scoring", opening=(LIVE,), swaps=(REFUSED,)))

    lines = output.getvalue().splitlines()
    assert len(lines) == 3
    assert "version 1 (frozen graph, wine_frozen.pb) is live for wine" in lines[0]
    assert "version 2 (damaged tree, wine_damaged.pmml) was refused" in lines[2]
    assert "\x1b" not in output.getvalue()


def test_in_a_terminal_the_picture_names_versions_swaps_and_refusals():
    output = io.StringIO()
    view = view_for(Console(file=output, width=140, force_terminal=True))
    assert isinstance(view, Picture)

    with view:
        view.show(
            Progress(
                3.0,
                "scoring",
                100,
                (10.0, 20.0),
                ReadReport(results=90, dead_letters=1, reasons=("broken",)),
                (LIVE,),
                (REFUSED,),
            )
        )

    for word in (
        "records/s",
        "wine-quality",
        "damaged tree",
        "refused: it stops",
        "dead letters: broken",
        "9 under way",
    ):
        assert word in output.getvalue(), word


def test_a_sparkline_is_as_high_as_its_values():
    assert sparkline([0, 5, 10]) == "▁▅█"
    assert sparkline([]) == sparkline([0, 0]) == ""


def test_the_records_are_the_set_and_the_poison_is_none_of_it():
    payloads = encode_wines(read_wines())

    assert len(payloads) == len(read_wines())
    assert len(poison(7)) == 7
    assert not set(poison(7)) & set(payloads)


@pytest.mark.parametrize("is_up", [True, False])
def test_the_lines_to_try_next_name_files_that_are_there_and_end_by_stopping(is_up):
    lines = next_steps("http://127.0.0.1:1", Path("some where"), is_up, "sluice")

    assert (lines[0] == "sluice up --data 'some where' --detach") is not is_up
    assert lines[-1] == "sluice down --data 'some where'"
    files = [word.removeprefix("file=@") for line in lines for word in shlex.split(line) if word.endswith(".pmml")]
    assert len(files) == 2
    assert all(Path(file).is_file() for file in files)


def test_the_command_is_called_by_its_path_where_its_name_finds_another(tmp_path, monkeypatch):
    program = tmp_path / "bin" / "sluice"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)

    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert command_name(str(program)) == str(program)
    monkeypatch.chdir(tmp_path)
    assert command_name(str(program)) == "bin/sluice"
    monkeypatch.setenv("PATH", str(program.parent))
    assert command_name(str(program)) == "sluice"
