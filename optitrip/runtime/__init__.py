"""This process and its machine; nothing here knows of sweeps."""
