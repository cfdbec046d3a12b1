"""The test functions of sensitivity analysis: textbook formulas, and indices by quadrature and as published."""

from __future__ import annotations

import math
import pickle
from itertools import product

import numpy as np
import pytest

from optitrip.objectives import Ishigami, SobolG

PI = math.pi


def test_values_are_those_of_the_formulas() -> None:
    """One number after the other, by a plain call and in a batch."""
    random = np.random.default_rng(1)
    x = random.uniform(-PI, PI, (3, 50))
    plain = [math.sin(a) + 5 * math.sin(b) ** 2 + 0.2 * c**4 * math.sin(a) for a, b, c in x.T.tolist()]
    one = Ishigami(5.0, 0.2)
    np.testing.assert_allclose(one.losses(*x), plain, rtol=1e-13, atol=1e-13)
    assert [one(*row) for row in x.T.tolist()] == one.losses(*x).tolist()
    u, g = random.uniform(size=(3, 50)), SobolG((0.0, 1.0, 9.0))
    named = dict(zip(g.names, u, strict=True))
    plain = [math.prod((abs(4 * v - 2) + a) / (1 + a) for v, a in zip(row, g.a, strict=True)) for row in u.T.tolist()]
    np.testing.assert_allclose(g.losses(**named), plain, rtol=1e-13)
    assert g(x1=0.25, x2=0.5, x3=1.0) == pytest.approx(1 * 0.5 * 11 / 10)
    assert pickle.loads(pickle.dumps(g)) == g


def test_indices_of_ishigami_are_those_of_quadrature() -> None:
    """By Gauss's rule in three dimensions: variances of conditional means, with one variable given and with all but
    one."""
    nodes, weights = np.polynomial.legendre.leggauss(40)
    x, w = PI * nodes, weights / 2
    values = Ishigami().losses(*(axis.ravel() for axis in np.meshgrid(x, x, x, indexing="ij"))).reshape(40, 40, 40)
    variance = np.einsum("ijk,i,j,k", values**2, w, w, w) - np.einsum("ijk,i,j,k", values, w, w, w) ** 2
    for axis, (name, (first, total)) in enumerate(Ishigami().indices().items()):
        given = np.moveaxis(values, axis, 0).reshape(40, -1) @ np.outer(w, w).ravel()
        without = np.moveaxis(values, axis, 2) @ w
        assert name == f"x{axis + 1}"
        assert first == pytest.approx((w @ given**2 - (w @ given) ** 2) / variance, abs=1e-9)
        left = w @ without**2 @ w - (w @ without @ w) ** 2
        assert total == pytest.approx(1 - left / variance, abs=1e-9)


def test_indices_of_ishigami_as_published() -> None:
    """0.3139, 0.4424 and 0 alone, 0.2437 for the first and third together (Saltelli et al., "Sensitivity analysis",
    2000)."""
    found = Ishigami().indices()
    assert [round(first, 4) for first, _ in found.values()] == [0.3139, 0.4424, 0.0]
    assert [round(total, 4) for _, total in found.values()] == [0.5576, 0.4424, 0.2437]


def test_indices_of_the_g_function_are_sums_over_all_terms() -> None:
    """The variance of each set of variables is the product of theirs, so that all indices are sums of such."""
    g = SobolG((0.0, 1.0, 4.5, 9.0))
    own = [1 / (3 * (1 + a) ** 2) for a in g.a]
    terms = {
        chosen: math.prod(v for v, c in zip(own, chosen, strict=True) if c) for chosen in product((0, 1), repeat=4)
    }
    whole = sum(value for chosen, value in terms.items() if any(chosen))
    for i, (first, total) in enumerate(g.indices().values()):
        assert first == pytest.approx(own[i] / whole, rel=1e-12)
        assert total == pytest.approx(sum(value for chosen, value in terms.items() if chosen[i]) / whole, rel=1e-12)


def test_other_variables_are_refused() -> None:
    """With those that were given and those that are wanted."""
    with pytest.raises(ValueError, match="the variables are x1, y, wanted x1, x2"):
        SobolG((0.0, 1.0)).losses(x1=np.zeros(2), y=np.zeros(2))
