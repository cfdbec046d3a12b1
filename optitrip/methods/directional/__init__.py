"""The method `directional`: derivatives of a loss along a few directions."""
