"""Samplers: for any range of items, points of the open unit cube. One file each; to add one, add it to the table."""

from optitrip.samplers.grid import Grid
from optitrip.samplers.halton import Halton
from optitrip.samplers.latin_hypercube import LatinHypercube
from optitrip.samplers.random import Random
from optitrip.samplers.sampler import Sampler
from optitrip.samplers.sobol import Sobol

ALL: tuple[Sampler, ...] = (Random(), Halton(), Sobol(), LatinHypercube(), Grid())
SAMPLERS = {sampler.name: sampler for sampler in ALL}
"""Samplers by name in sweep files."""
