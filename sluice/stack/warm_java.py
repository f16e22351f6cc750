"""Makes Java's start-up cache: a broker on a data folder of its own starts, is ready and stops (`java` says why)."""

import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from sluice.stack import jars
from sluice.stack.caches import cache_folder
from sluice.stack.errors import StackError
from sluice.stack.java import start_up_cache
from sluice.stack.kafka import Broker, RunningBroker, new_cluster_id
from sluice.stack.ports import free_port

_LOWEST_PRIORITY = 19


def make_start_up_cache() -> Path:
    """Make the cache unless it is there; returns its path. Ten seconds of one core.

    Raises:
        StackError: The broker did not start, or wrote no cache.
    """
    class_path = jars.class_path(jars.jar_folder(), jars.locked_jars())
    cache = start_up_cache(cache_folder(), class_path)
    if cache.exists():
        return cache
    with tempfile.TemporaryDirectory(prefix="sluice-warming-") as scratch:
        folder = Path(scratch)
        port = free_port()
        running = RunningBroker(Broker(folder / "kafka", port, free_port(avoid=[port]), new_cluster_id()))
        made = folder / "made.aot"
        try:
            running.start(extra_java_options=(f"-XX:AOTCacheOutput={made}",), timeout_seconds=600)
            running.stop(grace_seconds=600)
        finally:
            running.kill()
        if not made.exists():
            raise StackError(f"Java wrote no start-up cache:\n{running.log.read_text(errors='replace')}")
        # The scratch folder may be on another disk, and a cache must never be seen half written.
        incoming = cache.with_suffix(f".{os.getpid()}")
        shutil.copyfile(made, incoming)
        incoming.replace(cache)
    return cache


def main() -> None:
    """Make the cache with the lowest priority."""
    os.nice(_LOWEST_PRIORITY)
    # By an exception, so that the scratch folder goes when the stack does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped before the cache was made"))
    jars.fetch(jars.jar_folder(), jars.locked_jars())
    try:
        print(make_start_up_cache())
    except StackError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
