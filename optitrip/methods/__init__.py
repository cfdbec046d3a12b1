"""Methods: what the items of a stage are, how they are evaluated and how parts merge."""
