"""State directories: what is stored of sweeps."""
