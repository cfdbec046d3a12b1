"""The driver: the one process that hands out slices, writes the journal and reports to observers."""
