"""Use cases, one a file: what the command line and the Python interface have in common."""
