"""Estimates of a gradient from its slopes along a few directions."""
