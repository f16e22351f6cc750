import gc

from model_store.collector import collector_at_rest


def test_the_collector_rests_within_and_runs_after_the_last_who_asked() -> None:
    with collector_at_rest():
        with collector_at_rest():
            assert not gc.isenabled()
        assert not gc.isenabled()

    assert gc.isenabled()


def test_what_was_made_meanwhile_is_set_aside() -> None:
    before = gc.get_freeze_count()

    with collector_at_rest():
        made = [[number] for number in range(1_000)]

    assert gc.get_freeze_count() >= before + len(made)
    gc.unfreeze()


def test_a_collector_that_was_off_stays_off() -> None:
    gc.disable()
    try:
        with collector_at_rest():
            pass

        assert not gc.isenabled()
    finally:
        gc.enable()
