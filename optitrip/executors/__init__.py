"""Executors: where slices are evaluated. They know nothing of what a method does."""
