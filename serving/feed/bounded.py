"""A call that must end in time although the library that is called may not let it.

librdkafka 2.16's `send_offsets_to_transaction` ignores its time-out and can wait for ever once the group's coordinator
has gone away and come back (measured: in 22 of 24 workers whose broker was killed under load; librdkafka issues 5456 and
5511). A commit that waits, and `close`, know no time-out at all. Python cannot interrupt such a call, but it can stop
waiting for it: the call is left alone in a thread that ends with the process.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

Result = TypeVar("Result")


class CallHungError(Exception):
    """The call did not come back in time; what it called must not be used any more."""


class _Call(Generic[Result]):
    def __init__(self, call: Callable[..., Result], args: tuple[Any, ...]) -> None:
        self.call = call
        self.args = args
        self.result: list[Result] = []
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.result.append(self.call(*self.args))
        except BaseException as error:
            self.error = error


def call_within(seconds: float, call: Callable[..., Result], *args: Any) -> Result:
    """Call `call(*args)` in a thread of its own; its result or its exception.

    Raises:
        CallHungError: It did not return in time.
    """
    running = _Call(call, args)
    thread = threading.Thread(target=running.run, name=getattr(call, "__name__", "call"), daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise CallHungError(f"{thread.name} did not return within {seconds:g} s")
    if running.error is not None:
        raise running.error
    return running.result[0]
