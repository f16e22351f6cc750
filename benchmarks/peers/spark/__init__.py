"""Spark Structured Streaming: from Kafka through Python workers in Arrow batches to Kafka."""
