"""The floor: confluent-kafka reads and writes the same bytes."""
