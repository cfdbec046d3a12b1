"""Losses that come with optitrip; each is named in a sweep file as `optitrip.objectives:Name`."""

from optitrip.objectives.analytic import Ackley as Ackley
from optitrip.objectives.analytic import Beale as Beale
from optitrip.objectives.analytic import Rastrigin as Rastrigin
from optitrip.objectives.analytic import Rosenbrock as Rosenbrock
from optitrip.objectives.analytic import Sphere as Sphere
from optitrip.objectives.analytic import StyblinskiTang as StyblinskiTang
from optitrip.objectives.linear.hinge import Hinge as Hinge
from optitrip.objectives.linear.softmax import Softmax as Softmax
from optitrip.objectives.shares import Ishigami as Ishigami
from optitrip.objectives.shares import SobolG as SobolG
