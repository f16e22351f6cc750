"""See `peer`."""
