"""Shapes of requests and responses, one module a group of routes. They are documentation: each field says what it is."""
