"""Data sets of the built-in losses."""
