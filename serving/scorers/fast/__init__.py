"""The fast tier: PMML models that are plain arithmetic, computed on the columns of a batch in the worker's own process.

The engine that loaded the model stays the authority. The way of a model: `grammar` (every element and attribute is known,
or the model is not for this tier) -> `compiling` with `inputs`, `trees`, `forest`, `linear`, `network` (a flat model) ->
`rows` and `admission` (it agreed with the engine on thousands of rows, edges first) -> `scorer` (which goes on asking the
engine about samples, and about rows that the flat model leaves undecided, and goes over to it for good when they differ).
"""
