"""optitrip evaluates a loss at very many points, in parallel, and keeps the one answer that matters."""

__version__ = "0.1.0"
