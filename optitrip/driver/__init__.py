"""The driver: the one process that hands out slices, writes the journal and tells of it."""
