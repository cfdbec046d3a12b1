"""The method `trip`: several methods, one after the other, each from where an earlier one has arrived."""
