"""Gradient: the numeric gradient of a loss at one point."""
