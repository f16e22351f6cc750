"""Quix Streams: a streaming data frame that is applied record by record."""
