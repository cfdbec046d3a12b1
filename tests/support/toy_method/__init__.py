"""A method that optitrip does not know: counts the draws whose loss is below a number.

It is here to show that a method is one folder and one line in the registry. What it needs beside them, others need too.
"""
