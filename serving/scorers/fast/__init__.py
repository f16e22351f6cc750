"""The fast tier: PMML models that are plain arithmetic, computed on the columns of a batch in the worker's own process.

The engine that loaded the model stays the authority. The way of a model: `grammar` (every element and attribute is known,
or the model is not for this tier) -> `compiling` with `inputs`, `trees`, `forest`, `linear`, `network` (a flat model) ->
`rows` and `admission` (it agreed with the engine on thousands of records, edges first) -> `scorer` (which goes on asking
the engine about samples, and about records that the flat model leaves undecided, and goes over to it for good when the
two differ). How well the two must agree is asked for: `exact` (the default of a worker) or `tolerant`; see `admission`.

In it are trees, forests (average, weighted average, sum, votes), linear and logistic regressions, generalised linear
models, and small networks; numbers and texts as inputs with every treatment of missing, invalid and outlying values. Not
in it, and so left to the engine: booleans, categorical numbers, transformations, targets, chains of models, outputs of the
document's own, votes among more than four classes (the engine's order among equals is its own there).

Measured, CPU microseconds a record of the calling thread by `FastScorer.score`, median of five, the demonstration's models
(11 inputs) on two cores that others shared (load 6 to 9):

| records a batch | 1 | 10 | 100 | 2,000 |
|---|---|---|---|---|
| linear regression | 13 | 1.8 | 0.16 | 0.03 |
| tree of 89 nodes | 13 | 1.9 | 0.40 | 0.06 |
| forest of 10 trees, 958 nodes | 30 | 7.4 | 1.1 | 0.55 |
| network of 8 hidden neurons | 139 | 15 | 1.7 | 0.51 |

A made-up forest of 100 trees of depth 8 costs 5.2 at 2,000 records. Admission costs 0.05 to 0.2 s of the loader's CPU, and
as long again, or several times that in a Java machine that is cold, of the child's.
"""
