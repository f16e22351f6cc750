"""What the benchmark of heavy models says of itself."""

from benchmarks.heavy.contender import WAYS as SCORED_BY
from benchmarks.heavy.forms import FORMS
from benchmarks.heavy.models import MEMBERS, STEPS, VALUES, WIDTH, multiplications
from benchmarks.heavy.scoring import WAYS


def test_a_window_is_a_week_of_minutes():
    assert STEPS == 7 * 24 * 60
    assert WIDTH == STEPS * VALUES == 80_640


def test_the_floor_counts_the_input_of_seven_days_and_the_state_of_six():
    of_input = 7 * 1440 * 3 * 8 * 128
    of_state = 6 * 1440 * 3 * 32 * 128

    assert multiplications(1) == of_input + of_state == 137_134_080
    assert multiplications(MEMBERS) == 10 * multiplications(1)


def test_every_way_that_is_measured_is_one_that_a_contender_knows():
    assert set(WAYS) - {"mlserver"} <= set(SCORED_BY)
    assert len(set(FORMS)) == len(FORMS)
