"""Executors evaluate slices. They know nothing about what a method computes."""
