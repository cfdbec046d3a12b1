"""Sensitivity: the Sobol' indices of the variables, first-order and total, by Saltelli's design."""
