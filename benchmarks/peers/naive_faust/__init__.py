"""Faust as its own documentation leads to it: one agent, one record at a time, one model call a record."""
