"""Handlers to compare with, each in a package of its own (``NAME.in``)."""
