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

Measured, CPU microseconds a record of the calling thread by `FastScorer.score`, least of three runs, the demonstration's
models (11 inputs) on two cores that others shared (load 15 to 25). Bit for bit costs no more than to 1e-12:

| records a batch | 1 | 16 | 250 | 1,000 | 2,000 |
|---|---|---|---|---|---|
| linear regression | 12 | 0.9 | 0.07 | 0.04 | 0.03 |
| tree of 89 nodes | 13 | 1.3 | 0.19 | 0.07 | 0.06 |
| forest of 10 trees, 958 nodes | 35 | 4.6 | 0.68 | 0.52 | 0.58 |
| network of 8 hidden neurons (`tolerant`) | 139 | 8 | 1.4 | 0.50 | 0.51 |

A made-up forest of 100 trees of depth 8 costs 5.2 at 2,000 records. The comparison is made in the child (`pmml.comparison`) and
costs 50 to 800 ms of its CPU, most while its Java machine is cold.
"""
