"""Sweeps as jobs of a Ray cluster, by the Jobs API of its head. Ray itself is not imported here."""
