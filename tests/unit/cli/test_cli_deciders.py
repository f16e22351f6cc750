"""`sluice stats --deciders`."""

from datetime import UTC, datetime

from typer.testing import CliRunner

from sluice.cli import app
from sluice.cli.deciders import print_deciders
from sluice.client.decider_calls import ArmNumbers, DeciderNumbers, DeciderStatistics

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def test_each_arm_of_a_decider_has_its_line(capsys):
    arms = (ArmNumbers(arm="", chosen=4, answered=6, late=3, failed=1), ArmNumbers(arm="b", chosen=3, answered=10))
    vote = DeciderNumbers(
        route="w*", decider="vote", records=10, decided=7, unanswered=2, undecidable=1, p50_ms=12.345, p99_ms=50.0, arms=arms
    )  # fmt: skip

    print_deciders(DeciderStatistics(as_of=NOW, deciders=(vote,), partial=True, missing_workers=("w2",)))

    told = capsys.readouterr()
    assert [line.split() for line in told.out.splitlines()[1:]] == [
        ["w*", "vote", "10", "7", "2", "1", "12.3", "50.0", "(primary)", "4", "6", "3", "1"],
        ["b", "3", "10", "0", "0"],
    ]
    assert told.err == "Not complete: no fresh numbers from w2.\n"


def test_without_deciders_it_says_so(capsys):
    print_deciders(DeciderStatistics(as_of=NOW))

    assert capsys.readouterr().out == "No decider decided anything yet.\n"


def test_deciders_have_no_model():
    done = CliRunner().invoke(app(), ["stats", "--deciders", "--model", "tree", "--api", "http://127.0.0.1:9"])

    assert done.exit_code == 2
    assert "either --deciders or --model" in done.output
