"""Who gets which slice: pure, without a clock, I/O or threads."""
