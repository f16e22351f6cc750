from dataclasses import dataclass

from serving.core.decisions import Load, Retire, decide


@dataclass(frozen=True)
class Version:
    control_offset: int


OLD, NEW = Version(3), Version(7)


def steps(candidates, live=None, refused=(), loading=None, here=("wine",)):
    return decide(candidates, live or {}, set(refused), loading or {}, here)


def test_the_newest_version_is_loaded():
    assert steps({"wine": [NEW, OLD]}, live={"wine": 3}) == [Load("wine", NEW)]


def test_nothing_is_done_when_the_newest_serves():
    assert steps({"wine": [NEW, OLD]}, live={"wine": 7}) == []


def test_a_version_that_is_being_loaded_is_not_loaded_again():
    assert steps({"wine": [NEW, OLD]}, live={"wine": 3}, loading={"wine": 7}) == []


def test_a_refused_version_leaves_the_one_before_serving():
    assert steps({"wine": [NEW, OLD]}, live={"wine": 3}, refused=[7]) == []


def test_a_worker_that_starts_after_a_refusal_loads_the_version_before():
    assert steps({"wine": [NEW, OLD]}, refused=[7]) == [Load("wine", OLD)]


def test_a_data_type_of_another_worker_is_retired():
    assert steps({"wine": [NEW]}, live={"wine": 7}, here=()) == [Retire("wine")]


def test_a_data_type_without_candidates_is_retired():
    assert steps({}, live={"wine": 7}) == [Retire("wine")]
