"""What a worker shows of itself to the outside: statistics in Redis, metrics over HTTP."""
