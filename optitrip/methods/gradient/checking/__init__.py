"""Comparison of an analytic gradient with the numeric one."""
