"""Bytewax: a dataflow of a Kafka source, one batch operator and a Kafka sink."""
