from serving.live import LiveModel, LiveModels


def model(version: int, data_type: str = "wine") -> LiveModel:
    return LiveModel(data_type, "m", version, b"", version, scorer=None, bindings={})  # type: ignore[arg-type]


def test_a_swap_changes_what_a_lease_returns():
    live = LiveModels(lambda _: None)
    live.swap_in(model(1))
    live.swap_in(model(2))

    assert live.lease("wine").version == 2


def test_a_snapshot_does_not_change_under_a_reader():
    live = LiveModels(lambda _: None)
    live.swap_in(model(1))
    before = live.by_type
    live.swap_in(model(2))

    assert before["wine"].version == 1


def test_a_replaced_model_is_closed_after_its_last_batch():
    closed = []
    live = LiveModels(closed.append)
    old = model(1)
    live.swap_in(old)
    first, second = live.lease("wine"), live.lease("wine")
    live.swap_in(model(2))
    live.give_back(first)
    assert closed == []

    live.give_back(second)

    assert closed == [old]


def test_a_replaced_model_without_batches_is_closed_at_once():
    closed = []
    live = LiveModels(closed.append)
    old = model(1)
    live.swap_in(old)
    live.swap_in(model(2))

    assert closed == [old]


def test_a_retired_data_type_serves_nothing_and_others_go_on():
    live = LiveModels(lambda _: None)
    live.swap_in(model(1))
    live.swap_in(model(1, "beer"))
    live.retire("wine")

    assert live.lease("wine") is None
    assert live.lease("beer") is not None
