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
from sluice.demo.complaints import complaint
from sluice.demo.cuts import CutOver
from sluice.demo.next_steps import command_name, next_steps
from sluice.demo.progress import Progress
from sluice.demo.reader import ReadReport
from sluice.demo.records import encode_wines, keys_of, poison, read_wines
from sluice.demo.story import CHAPTERS, OPENING, CanaryStep, Swap
from sluice.demo.view import Lines, Picture, sentence, sparkline, step_sentence, view_for

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
CUT_OVER = CutOver("wine", 7, "wine.records", {1: 8033, 0: 8120}, frozenset({("wine-quality", 1)}), 240.4)
LIVE = Swap(OPENING[0], 0, 1, False, "", 12.0, (CUT_OVER,))
CANARY = next(chapter for chapter in CHAPTERS if chapter.is_canary)
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
        "cut_overs",
        "cut_violations",
        "canary_entities",
    ]


def test_the_account_for_people_says_so_when_it_does_not_balance():
    assert "The account balances." in ACCOUNT.lines()[0]
    assert "does NOT balance" in replace(ACCOUNT, lost=1).lines()[0]


def test_the_account_for_people_counts_cut_overs_and_the_canarys_entities():
    good = replace(ACCOUNT, cut_overs=8, canary_entities=158, partitions=4)
    bad = replace(good, cut_violations=2, wavering=3)

    assert good.lines()[-2:] == [
        "8 cut-overs, every result on the right side of its cut in all 4 partitions.",
        "158 entities were scored by the canary while it grew; none went back and forth.",
    ]
    assert "WRONG side of a cut in 2 cases" in bad.lines()[-2]
    assert "3 went back and forth" in bad.lines()[-1]


def test_a_swap_is_told_with_its_cut_and_with_times_that_were_measured_only():
    assert sentence(LIVE) == (
        "wine-quality version 1 (frozen graph, wine_frozen.pb) is live for wine: exact at wine.records 0@8120 1@8033; "
        "loaded in 12 ms beside the stream, cut over in 240 ms"
    )
    unmeasured = replace(LIVE, load_ms=None, cut_overs=(replace(CUT_OVER, cut_over_ms=None),))
    assert sentence(unmeasured).endswith(" is live for wine: exact at wine.records 0@8120 1@8033")
    assert sentence(replace(unmeasured, cut_overs=())).endswith(" is live for wine")


def test_the_steps_of_a_canary_are_told_with_their_cuts():
    dark, tenth = (CanaryStep(CANARY, 2, number, 4, weight, CUT_OVER) for number, weight in ((1, 0.0), (2, 10.0)))

    assert step_sentence(dark).startswith("sparkling-quality version 2: dark, beside the version before (exact at ")
    assert step_sentence(tenth) == "sparkling-quality version 2: canary at 10 % (exact at wine.records 0@8120 1@8033)"


def complaint_of(swap: Swap, report: ReadReport, foreign: int = 0, poison_count: int = 0) -> str:
    seen = set() if swap.is_refused else {swap.chapter.file}
    return complaint([swap], seen, report, "wine.records", foreign, poison_count)


def test_nothing_is_complained_of_where_all_went_as_told():
    assert complaint_of(LIVE, ReadReport()) == ""
    assert complaint_of(REFUSED, ReadReport()) == ""


def test_what_did_not_go_as_told_is_complained_of_with_coordinates():
    violation = "wine in wine.records/2: change 9 scored offset 4, but change 7 before it 5"

    assert complaint_of(LIVE, ReadReport(cut_violations=(violation,))) == (
        f"results are on the wrong side of a cut: {violation}"
    )
    assert "bottle-3" in complaint_of(LIVE, ReadReport(wavering=("bottle-3",)))
    assert "not at exact offsets" in complaint_of(replace(LIVE, cut_overs=()), ReadReport())
    assert "was refused: too slow" in complaint_of(replace(LIVE, is_refused=True, reason="too slow"), ReadReport())
    assert "2 records of others" in complaint_of(LIVE, ReadReport(), foreign=2)
    assert "1 records were made to fail, 0 did" in complaint_of(LIVE, ReadReport(), poison_count=1)
    assert "scored nothing" in complaint([LIVE], set(), ReadReport(), "wine.records", 0, 0)


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


def test_in_a_terminal_a_canary_under_way_shows_its_step_its_share_and_what_it_waits_for():
    output = io.StringIO()
    step = CanaryStep(CANARY, 2, 2, 4, 10.0, CUT_OVER)

    with Picture(Console(file=output, width=140, force_terminal=True)) as view:
        view.show(Progress(publishing=CANARY, canary=(step,), waits_for="bakes for 1 s"))

    for word in ("sparkling-quality 2", "canary at 10 %, step 2 of 4; bakes for 1 s"):
        assert word in output.getvalue(), word


def test_without_a_terminal_each_step_of_a_canary_is_one_line_before_its_end():
    output = io.StringIO()
    steps = tuple(CanaryStep(CANARY, 2, number, 2, 50.0 * number, CUT_OVER) for number in (1, 2))
    over = Swap(CANARY, 0, 2, False, "", 5.0, (CUT_OVER, CUT_OVER))

    with Lines(Console(file=output, width=80)) as view:
        view.show(Progress(0.0, canary=steps[:1]))
        view.show(Progress(0.1, canary=steps, swaps=(over,)))
        view.show(Progress(0.2, canary=steps, swaps=(over,)))

    lines = [line for line in output.getvalue().splitlines() if "version 2" in line]
    assert ["at 50 %" in lines[0], "at 100 %" in lines[1], "in 2 steps" in lines[2], len(lines)] == [True] * 3 + [3]


def test_a_sparkline_is_as_high_as_its_values():
    assert sparkline([0, 5, 10]) == "▁▅█"
    assert sparkline([]) == sparkline([0, 0]) == ""


def test_the_records_are_the_set_and_the_poison_is_none_of_it():
    payloads = encode_wines(read_wines())

    assert len(payloads) == len(read_wines()) == len(set(keys_of(read_wines())))
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
