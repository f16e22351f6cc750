"""`docs/benchmarks.md` and its plots, made from the committed figures and from sections that are written by hand."""
