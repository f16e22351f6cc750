import asyncio
import os
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from serving.feed.wake import Wake

_LONG = 30.0
"""Longer than a test may take: whoever sleeps so long was not woken."""


def run(story: Callable[[Wake], Awaitable[Any]]) -> None:
    async def told() -> None:
        wake = Wake()
        try:
            await asyncio.wait_for(story(wake), _LONG / 2)
        finally:
            wake.close()

    asyncio.run(told())


def test_a_byte_from_another_thread_ends_the_sleep() -> None:
    async def story(wake: Wake) -> None:
        threading.Timer(0.01, os.write, (wake.descriptor, b"!")).start()
        await wake.sleep(_LONG)

    run(story)


def test_what_happened_before_the_sleep_ends_it_at_once() -> None:
    async def story(wake: Wake) -> None:
        wake.set()
        await wake.sleep(_LONG)

    run(story)


def test_it_wakes_once_for_what_happened_once() -> None:
    async def story(wake: Wake) -> None:
        os.write(wake.descriptor, b"!!!")
        await wake.sleep(_LONG)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(wake.sleep(_LONG), 0.05)

    run(story)


def test_who_rouses_ends_a_sleep_and_leaves_the_next_one_alone() -> None:
    async def story(wake: Wake) -> None:
        wake.rouse()
        asyncio.get_running_loop().call_later(0.01, wake.rouse)
        await wake.sleep(_LONG)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(wake.sleep(_LONG), 0.05)

    run(story)


def test_what_was_taken_wakes_nobody() -> None:
    async def story(wake: Wake) -> None:
        wake.set()
        assert wake.take()
        assert not wake.take()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(wake.sleep(_LONG), 0.05)

    run(story)


def test_the_time_is_up_without_anything() -> None:
    async def story(wake: Wake) -> None:
        await wake.sleep(0.001)

    run(story)


def test_a_full_pipe_blocks_nobody_and_wakes() -> None:
    async def story(wake: Wake) -> None:
        with suppress(BlockingIOError):
            for _ in range(10_000):
                os.write(wake.descriptor, b"!" * 4_096)
        with pytest.raises(BlockingIOError):
            os.write(wake.descriptor, b"!")
        await wake.sleep(_LONG)

    run(story)
