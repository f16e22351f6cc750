"""The page and its plots, from figures that are made up."""

import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from benchmarks.delays import Swap, delays_of
from benchmarks.figures import Book, Failure, Throughput
from benchmarks.kill import Kill
from benchmarks.latency import BASELINE, Latency
from benchmarks.machine import Weather
from benchmarks.processes import program_of
from benchmarks.report.__main__ import main as report
from benchmarks.report.page import page
from benchmarks.report.plots import plots
from benchmarks.report.sources import choose
from benchmarks.report.svg import Bar, bars, linear_axis, log_axis, tail_axis
from benchmarks.soak import Soak

import numpy as np  # isort: skip

WEATHER = Weather(1.0, 0.0, 1.5)
WHO = {"model": "tree", "delivery": "at_least_once", "weather": WEATHER}
RUN = Throughput(
    peer="worker", round=0, processes=1, cpu_us=2.0, rate=400_000, records=1_000, start_seconds=1.0, resident_mb=100.0,
    checked=10, wrong=0, flawed=0, mean_bytes=104.0, **WHO,
)  # fmt: skip
KILL = Kill(
    peer="worker", kills=2, rate=100, sent=10_000, lost=3, duplicated=50, foreign=0, wrong=0, flawed=0,
    back_seconds=(1.0, 2.0), **WHO,
)  # fmt: skip
DELAY = Latency(
    peer="worker", rate=500, seconds=1.0, cpu_us=9.0, delays=delays_of(np.arange(1.0, 101.0)), worst_elsewhere=99.0,
    swap=Swap(12.0, 100.0, 0), sent=100, missing=0, wrong=0, flawed=0, sender_late_ms=1.0, **WHO,
)  # fmt: skip
SOAK = Soak(
    peer="worker", rate=100, seconds=8.0, swaps=4, unseen=0, sent=800, lost=0, duplicated=0,
    foreign=0, checked=1, wrong=0, flawed=0,
    cpu_us=3.0, memory=tuple((2.0 * at, 200 * at, at, 300.0 + at) for at in range(5)), **WHO,
)  # fmt: skip
MACHINE = {
    "date": "2026-11-21T20:00:00", "commit": "c" * 40, "changed_files": 0, "cpu": "A CPU", "cores": 2, "memory_gb": 4,
    "system": "Linux", "kernel": "6", "kafka": "4", "java": "25", "python": "3.11",
}  # fmt: skip


def books(*figures, failures=()):
    return choose([book(*figures, failures=failures)])


def book(*figures, date="2026-11-21T20:00:00", failures=()):
    return Book({**MACHINE, "date": date}, {}, {"worker": "Our worker"}, list(figures), list(failures))


def test_a_part_is_of_the_newest_run_that_has_it():
    older = book(replace(KILL, peer="gone"), RUN, date="2026-01-01T00:00:00")

    text = page(choose([older, book(KILL)]), {}, set(), "{{table:kills}} {{table:costs}}")

    assert "`gone`" not in text
    assert "| `worker` | **2.00**" in text


def test_the_costs_of_a_model_are_of_the_newest_run_with_that_model():
    older = book(RUN, replace(RUN, model="linear", cpu_us=7.0), date="2026-01-01T00:00:00")

    text = page(choose([older, book(replace(RUN, cpu_us=3.0))]), {}, set(), "{{table:costs}}")

    assert "**7.00**" in text
    assert "**3.00**" in text
    assert "**2.00**" not in text


def test_hand_written_sections_are_on_the_page_word_for_word():
    assert "As *we* wrote it." in page({}, {"profile": "As *we* wrote it."}, set())


def test_what_was_not_measured_says_so():
    assert page({}, {}, set(), "{{table:kills}}") == "*Not measured yet.*\n"


def test_a_table_that_nobody_makes_is_an_error():
    with pytest.raises(KeyError):
        page({}, {}, set(), "{{table:wishes}}")


def test_lost_and_repeated_records_stand_out():
    text = page(books(KILL), {}, set(), "{{table:kills}}")

    assert "| `worker` | 2 | 10,000 | **3** | **50** | 0.25 | 0 | 0 | 1.5 (1.0-2.0) |" in text


def test_a_system_with_wrong_results_is_named_and_not_ranked():
    text = page(books(RUN, replace(RUN, peer="liar", wrong=4)), {}, set(), "{{table:costs}}")

    assert "| `liar`" not in text
    assert "Not ranked, because results were wrong or incomplete: `liar`" in text


def test_what_failed_is_listed_with_its_reason():
    failed = Failure("throughput", "other", "tree", "at_least_once", "no | jar\nfound")

    text = page(books(RUN, failures=[failed]), {}, set(), "{{table:failures}}")

    assert "| `other` tree at least once | throughput | no \\| jar found |" in text


def test_the_baseline_stands_above_the_systems():
    base = replace(DELAY, peer=BASELINE, model="", swap=None, cpu_us=None)

    text = page(books(DELAY, base), {}, set(), "{{table:latencies}}")

    assert text.index("baseline") < text.index("`worker`")


def test_the_whole_page_names_the_plots_that_were_drawn():
    measured = books(RUN, KILL, DELAY, SOAK)
    drawn = plots(measured)

    text = page(measured, {}, set(drawn))

    assert set(drawn) == {"cost-tree", "latency-500", "soak-worker-at-least-once"}
    assert all(f"(benchmarks/{name}.svg)" in text for name in drawn)


@pytest.mark.parametrize("name", ["cost-tree", "latency-500", "soak-worker-at-least-once"])
def test_plots_are_documents_that_a_browser_can_read(name):
    drawn = plots(books(RUN, replace(RUN, peer="slow", cpu_us=900.0), DELAY, SOAK))[name]

    assert ET.fromstring(drawn).tag == "{http://www.w3.org/2000/svg}svg"


def test_a_label_may_hold_what_means_something_in_xml():
    drawn = bars("a < b & c", [Bar("<x>", 1, 1, 1)], linear_axis(2, "us"))

    assert "a < b & c" in "".join(ET.fromstring(drawn).itertext())


@pytest.mark.parametrize(
    ("axis", "value", "place"),
    [
        (linear_axis(10, ""), 5, 0.5),
        (linear_axis(10, ""), 20, 1.0),
        (log_axis(1, 100, ""), 10, 0.5),
        (log_axis(1, 100, ""), 0.1, 0.0),
        (tail_axis(3, ""), 0.9, 1 / 3),
        (tail_axis(3, ""), 0.999, 1.0),
        (tail_axis(3, ""), 1.0, 1.0),
    ],
)
def test_axes_place_values_from_zero_to_one(axis, value, place):
    assert axis.place(value) == pytest.approx(place)


def test_the_committed_page_is_what_the_committed_figures_make(capsys):
    status = report(["--check"])

    assert status == 0, capsys.readouterr().out


def test_the_memory_of_a_system_of_several_programs_is_told_apart():
    held = tuple({"serving": 200.0 + at, "serving.scorers.pmml.child": 100.0} for at in range(5))
    told = replace(SOAK, programs=held)

    text = page(books(told), {}, set(), "{{table:soaks}}")

    assert "301 (serving 201, serving.scorers.pmml.child 100)" in text
    assert "304 (serving 204, serving.scorers.pmml.child 100)" in text
    assert "serving.scorers.pmml.child" in plots(books(told))["soak-worker-at-least-once"]


def test_the_memory_of_one_program_needs_no_parts():
    told = replace(SOAK, programs=({"java": 300.0},) * 5)

    assert "java" not in page(books(told), {}, set(), "{{table:soaks}}")


@pytest.mark.parametrize(
    ("command", "program"),
    [
        (["/usr/bin/python3", "-m", "serving", "--config", "worker.yaml"], "serving"),
        (["/usr/bin/java", "-Xmx1g", "Main"], "java"),
        (["python", "loop.py", "-m"], "python"),
        ([], ""),
    ],
)
def test_a_program_is_named_by_its_module_or_its_file(command, program):
    assert program_of(command) == program


def test_delays_of_several_rounds_are_medians_with_extremes():
    rounds = [
        replace(
            DELAY, round=at, delays=delays_of(np.full(10, p)), swap=Swap(100.0 + at, p + 1, 1), missing=at, cpu_us=p
        )
        for at, p in enumerate((3.0, 9.0, 5.0))
    ]

    text = page(books(*rounds), {}, set(), "{{table:latencies}}")

    assert text.count("| `worker`") == 1
    assert "| 5.0 (3.0-9.0) | 5.0 (3.0-9.0) |" in text  # p50, p99
    assert (
        "| 6.0 (4.0-10.0) | 99.0 (99.0-99.0) | 101 | 3 | 5 | **3** |" in text
    )  # swap, elsewhere, took, mixed, CPU, missing


def test_the_curve_is_that_of_the_round_in_the_middle():
    rounds = [replace(DELAY, round=at, delays=delays_of(np.full(10, p))) for at, p in enumerate((3.0, 90.0, 5.0))]

    assert plots(books(*rounds))["latency-500"] == plots(books(rounds[2]))["latency-500"]
