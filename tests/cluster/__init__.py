"""A real little cluster on one machine: `sudo -E env PYTHONPATH=tests uv run … python -m cluster.run`, see `run.py`."""
