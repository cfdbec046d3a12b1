"""A method that optitrip does not know: counts the draws whose loss is below a number.

It shows that a method is one folder and one line in the registry; anything more it needed, every method would need.
"""
