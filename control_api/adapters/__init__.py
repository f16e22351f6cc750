"""Kafka and Redis behind the protocols of `control_api.ports`."""
