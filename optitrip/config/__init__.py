"""Sweep files: read, checked, described and written."""
