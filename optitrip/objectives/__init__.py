"""Losses that come with optitrip; each is named in a sweep file as `optitrip.objectives:Name`."""

from optitrip.objectives.analytic import Ackley, Beale, Rastrigin, Rosenbrock, Sphere
from optitrip.objectives.hinge import Hinge
from optitrip.objectives.softmax import Softmax

__all__ = ["Ackley", "Beale", "Hinge", "Rastrigin", "Rosenbrock", "Softmax", "Sphere"]
