"""The scheduler decides which slot evaluates which slice; pure, without a clock, I/O or threads."""
