"""The weight of a tension spring, after A. D. Belegundu, "A study of mathematical programming methods for structural
optimization", University of Iowa, 1982: wire diameter d, coil diameter D (inches) and number of coils N."""

import optitrip


@optitrip.batched
def weight(d, D, N):
    return (N + 2) * D * d**2
