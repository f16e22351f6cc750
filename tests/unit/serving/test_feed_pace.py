"""Records gather while the results of the last few are under way, and not otherwise."""

import asyncio

import pytest

from serving.feed import pace
from serving.feed.pace import rest


class Broker:
    """A clock, and a broker that acknowledges everything after so many milliseconds."""

    def __init__(self, milliseconds: float) -> None:
        self.now = 0.0
        self.milliseconds = milliseconds
        self.waiting = 26

    def __len__(self) -> int:
        return self.waiting

    def poll(self) -> None:
        if self.now * 1e3 >= self.milliseconds:
            self.waiting = 0

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


def rested(records: int, broker: Broker, monkeypatch: pytest.MonkeyPatch) -> float:
    """Milliseconds."""
    monkeypatch.setattr(pace, "time", broker)
    monkeypatch.setattr(pace, "asyncio", broker)
    asyncio.run(rest(records, broker))
    return broker.now * 1e3


@pytest.mark.parametrize("records", [2, 26, 499])
@pytest.mark.parametrize("milliseconds", [0, 1, 3, 7])
def test_it_rests_until_all_results_are_acknowledged(
    records: int, milliseconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = Broker(milliseconds)

    assert milliseconds <= rested(records, broker, monkeypatch) < milliseconds + 2
    assert len(broker) == 0


def test_a_broker_that_takes_long_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    broker = Broker(1_000)

    assert rested(26, broker, monkeypatch) == pytest.approx(8)
    assert len(broker) == 26


@pytest.mark.parametrize("records", [0, 1, 500, 8_000])
def test_it_does_not_rest_after_one_record_nor_in_a_backlog(records: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert rested(records, Broker(1_000), monkeypatch) == 0


def test_a_result_that_failed_ends_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing(Broker):
        def poll(self) -> None:
            if self.now:
                raise RuntimeError("refused")

    with pytest.raises(RuntimeError, match="refused"):
        rested(26, Refusing(5), monkeypatch)
