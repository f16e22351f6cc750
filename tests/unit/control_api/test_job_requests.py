"""What a back-test may be asked for."""

import pytest

from control_api.core.jobs import JobRefusedError, backtest
from control_api.schemas.jobs import BacktestGiven
from model_store.core.catalogue import EMPTY, LogEntry, fold_all
from model_store.core.control_records import Announced
from model_store.core.descriptor import Descriptor

CATALOGUE = fold_all(EMPTY, [LogEntry(n, n, Announced(Descriptor("m", "wine", "PMML", location="/m"))) for n in (0, 1)])
LIMITS = {"max_disagreement": 0.1}


def ask(**members):
    given = {
        "stream": "wine",
        "candidate": {"model": "m", "version": "2"},
        "ranges": [{"partition": 0, "from": 0, "to": 5}],
    }
    return backtest(CATALOGUE, BacktestGiven.model_validate({**given, **members}), "b")


def test_a_version_is_not_judged_by_itself():
    with pytest.raises(JobRefusedError, match="m v2 compared with itself would pass whatever it is"):
        ask(baseline={"model": "m", "version": "2"}, pass_if=LIMITS)


def test_a_version_may_be_compared_with_itself_and_judged_by_another():
    assert ask(baseline={"model": "m", "version": "2"}).version == 2
    assert ask(baseline={"model": "m", "version": "1"}, pass_if=LIMITS).version == 2
