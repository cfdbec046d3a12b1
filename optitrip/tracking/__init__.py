"""Tracking: records sweeps in MLflow."""
