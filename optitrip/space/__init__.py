"""Variables, their distributions, and the sequence of candidates."""
