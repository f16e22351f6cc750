"""One measurement in one line, for whoever watches a run."""

from __future__ import annotations

from benchmarks.figures import Throughput
from benchmarks.kill import Kill
from benchmarks.latency import Latency
from benchmarks.soak import Soak
from benchmarks.start import Start
from benchmarks.swaps import Swaps


def cost_words(found: Throughput) -> str:
    """What a record cost."""
    return f"{found.cpu_us:.2f} us CPU a record, {found.rate:,} a second, {found.processes} process(es)"


def delay_words(found: Latency) -> str:
    """How long records took, and what went wrong."""
    delays = found.delays
    return (
        f"at {found.rate:,}/s p50 {delays.p50:.2f} p99 {delays.p99:.2f} worst {delays.worst:.2f} ms, {found.cpu_us} us,"
        f" swap {found.swap}, missing {found.missing}, wrong {found.wrong}, flawed {found.flawed}"
    )


def swap_words(found: Swaps) -> str:
    """What the swaps did to the worst record."""
    return (
        f"{len(found.swaps)} swaps, worst near {sorted(swap.worst_ms for swap in found.swaps)},"
        f" without {sorted(found.quiet_worst_ms)}, missing {found.missing}, wrong {found.wrong}, flawed {found.flawed}"
    )


def account(found: Kill | Start | Soak) -> str:
    """What became of the records."""
    return (
        f"{found.sent:,} sent, {found.lost} lost, {found.duplicated} twice, {found.foreign} foreign,"
        f" {found.wrong} wrong, {found.flawed} flawed"
    )
