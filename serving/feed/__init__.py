"""Kafka in and out of the worker: column batches to one Faust agent, its outputs back, offsets after them.

    channel = FeedChannel(app)
    feed = Feed(app, channel, bootstrap="127.0.0.1:9092", group="sluice", topics={"wine.records": StartAt.EARLIEST},
                worker_id="worker-1", outputs=["wine.results"])

    @app.agent(channel)
    async def score(batches):
        async for batch in batches:
            with batch:
                batch.done(Output("wine.results", batch.keys, results))

Theory of operation
===================

**Who runs where.** One pump, a task on the event loop, does everything in turns: read, hand out, let the agent run, write what
it gives back, look at acknowledgements, commit. Reading what is there (`bulk_consumer`) and queueing outputs (`bulk`) do not
wait, so they run on the loop, where the agent runs too: one thread touches a record from end to end, which measured 0.3-0.9 us
a record cheaper than two. When nothing is there, the pump sleeps on the loop until the client writes to a pipe (`wake`). Where
the broker is busy with the results of the last read, it lets records gather for some milliseconds (`pace`). Whatever waits runs
in the feed's one thread, with the loop free: a transaction's commit, the last flush, `close`. A second small pool looks up
starting offsets. librdkafka's own threads move the bytes.

A batch is of one partition. It says whether another one of the same read follows (`is_followed`), and an agent that waits for the
last of them may work on them as one (`joined_batch`).

Where batches are scored elsewhere than on the loop (`overlap`), a partition of which agents hold enough is parked: it is
fetched, but not read, and the others go on. Batches of large records are cut there (`portions`).

Rebalance callbacks run inside the reader's `read`. The loop enters it only while no agent holds a batch, so a callback on the
loop never waits for an agent; it may wait for one commit. While an agent holds one, the reader is entered in the thread: a
callback there waits for the agents first, which run on the free loop.

**What is committed when.** A batch is finished when the agent called `done` and the broker acknowledged every output of
it; per-batch counts say so (`lanes`). `at_least_once` sends the offsets below which everything is finished, every 100 ms,
without waiting. `exactly_once` makes outputs and offsets of every 100 ms one transaction; what agents still hold then is for
the next one. Batches may come back in any order; offsets only follow the finished front.

**Why nothing is lost.** An offset is committed only after its outputs. Acknowledgements are counted: each record's, or the last
one's of a partition where it speaks for all before it (`writer`). A partition starts at a committed offset that was read
without error and checked against the log; the client is never let choose (`starts`, `placement`). Records of a lane that is
not open are never handed out, results of a lane that has ended never count.

**What each fault does**

* A worker is killed: its partitions rest until the session times out (6 s), then go to others. At least once, what it had
  finished since its last commit is done again; exactly once, the broker aborts its open transaction and nothing is repeated.
* SIGTERM, a rebalance: nothing is repeated. Agents, acknowledgements and a commit are waited for before a partition goes.
* A worker stands still for long (a zombie): its partitions are lost. At least once, results of what it held may appear
  twice; exactly once, its transaction is refused and aborted. It joins again.
* The broker is away: reading stops when 50,000 outputs wait, and goes on by itself. Exactly once, the transaction is retried
  for its own length, then given up and read again from the committed offsets.
* An output is refused (too large, no such topic): the worker ends and nothing of the batch is committed. Exactly once, a
  failure that may pass is aborted and read again instead.
* The agent raises, forgets `done`, or holds a batch for longer than a minute: the same end.
* The next records are gone (retention): the worker ends; the next one starts at what is left and says what it skipped.
"""

from serving.feed.batch import ColumnBatch, Output
from serving.feed.channel import FeedChannel
from serving.feed.control_log import ControlLog
from serving.feed.control_writer import ControlWriter
from serving.feed.errors import FeedError
from serving.feed.feed import Feed, Statistics
from serving.feed.memory import calm_collector
from serving.feed.runs import Header
from serving.feed.settings import Delivery
from serving.feed.starts import StartAt

__all__ = [
    "ColumnBatch",
    "ControlLog",
    "ControlWriter",
    "Delivery",
    "Feed",
    "FeedChannel",
    "FeedError",
    "Header",
    "Output",
    "StartAt",
    "Statistics",
    "calm_collector",
]
