"""The PMML engine: documents are screened in Python and scored by PMML4S in a child process that may be killed.

The way of a document: `document` (strict parse) -> `normalise` (work-arounds for PMML4S) -> `signature` (what goes in and
out) -> `served` (loaded into the child, which is `child` and `bulk`, and which `supervisor` keeps alive) -> `verification`
(self-check) -> `scorer`.
This module imports nothing: the child starts through it, and its start is what a restart costs.
"""
