"""State directories: what is stored for each sweep, and how it is found again."""

from pathlib import Path

STATE_ROOT = Path(".optitrip")
"""Default folder of state directories, in the directory where a command is run."""
