"""Use cases: what the command line and the Python interface have in common."""
