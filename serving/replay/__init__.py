"""Scores retained records again: back-tests of a candidate, and corrections of what a bad version scored.

    python -m serving.replay --config worker.yaml --job job.json

Theory of operation
===================

A process of its own beside the workers, for one job. It reads with `assign`, so it is a member of no group and moves no
partition; it loads models of its own; it is nice to the processor (`os.nice`), takes no more records a second than the
job says (`pace`), and holds one batch of records and the results of one chunk of offsets at a time (`recorded`).

**Reading.** The ranges of the job are cut to what the data topic still has (`ranges`), and read partition by partition.

**Live results.** What was said of a record when it was live is found in the result topic by the source coordinates that
every result carries; a record that failed is found in the dead-letter topic. Where there are several, the one written last
counts, results before dead letters. Results of models that only watch, and those of corrections, are no live results.

**Back-test** (`backtest`): the candidate scores each record, and `serving.core.comparison` compares with the live results or
with another version. Scoring with the version that was live gives the live values bit for bit, because a row's values
depend on nothing but the row.

**Correction** (`correction`): records whose live result was made by the bad version are scored by the good one; each batch
is one short transaction under a transactional id made of the job's. Another run of the same job fences the one before,
which ends what that left open, and then looks up which results of the job are there. So however often it is killed and
run again, a reader of committed records finds at most one correction of one job for a record.

It prints JSON lines: `progress` once a second at most, in the end one `report`, or one `failed` or `stopped`. Exit status 0
means that the report is there. SIGTERM ends it between two batches.
"""
