"""Executors: where slices are evaluated. They do not know what a method computes."""
