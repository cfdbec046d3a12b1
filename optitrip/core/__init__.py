"""Values and protocols that everything else shares: no I/O, no clock, no concrete method."""
