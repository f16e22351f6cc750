"""Reproducible comparisons: what a record costs, how long it takes, and what a swap does to it."""
