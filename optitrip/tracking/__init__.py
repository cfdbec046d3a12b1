"""Where sweeps are remembered."""
