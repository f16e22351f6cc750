"""What the harness and its workers agree on."""

SESSION_SECONDS = 15
"""Of a worker in its group. With the default of 6 s a machine that stands still takes partitions from workers that nobody
disturbed, and what they repeat then is no fault of theirs."""
