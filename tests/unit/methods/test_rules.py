"""The update rules, against the numbers of torch.optim and of the course CS231n."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from optitrip.core.arrays import Array
from optitrip.errors import NoAnswer
from optitrip.methods.descent.rule import check_rule, rule_of
from optitrip.methods.descent.rules import RULES

HERE = Path(__file__).parent
TRAJECTORIES: dict[str, tuple[str, float, dict[str, Any], list[tuple[float, float]]]] = {
    "sgd": ("sgd", 0.01, {}, [(0.99, -1.8), (0.9801, -1.62), (0.970299, -1.458)]),
    "sgd, decay": (
        "sgd",
        0.01,
        {"weight_decay": 0.1},
        [(0.989, -1.798), (0.978121, -1.616402), (0.967361669, -1.453145398)],
    ),
    "momentum": ("momentum", 0.01, {}, [(0.99, -1.8), (0.9711, -1.44), (0.944379, -0.972)]),
    "momentum, dampening": (
        "momentum",
        0.01,
        {"dampening": 0.1},
        [(0.99, -1.8), (0.97209, -1.458), (0.94722219, -1.01898)],
    ),
    "nesterov": ("nesterov", 0.01, {}, [(0.981, -1.62), (0.954261, -1.1502), (0.920893941, -0.654642)]),
    "adagrad": (
        "adagrad",
        0.01,
        {},
        [
            (0.990000000001, -1.99000000000005),
            (0.982964554022295, -1.9829466763149),
            (0.97723793949143, -1.97719651082437),
        ],
    ),
    "rmsprop": (
        "rmsprop",
        0.01,
        {},
        [
            (0.900000009999999, -1.9000000005),
            (0.832917975265059, -1.83094332614393),
            (0.779982281982354, -1.77534944200325),
        ],
    ),
    "rmsprop, centered": (
        "rmsprop",
        0.01,
        {"centered": True},
        [
            (0.899496228575088, -1.89949621897913),
            (0.831759387103032, -1.82975214959277),
            (0.778068419631344, -1.77333541077392),
        ],
    ),
    "rmsprop, momentum": (
        "rmsprop",
        0.01,
        {"momentum": 0.9},
        [
            (0.900000009999999, -1.9000000005),
            (0.742917984265058, -1.74094332659393),
            (0.552914953234408, -1.54412995732798),
        ],
    ),
    "adam": (
        "adam",
        1e-3,
        {},
        [
            (0.99900000001, -1.9990000000005),
            (0.998000026223837, -1.99800001306836),
            (0.997000096080148, -1.99700004789127),
        ],
    ),
    "adam, decay": (
        "adam",
        1e-3,
        {"weight_decay": 0.1},
        [
            (0.999000000009091, -1.9990000000005),
            (0.998000026222018, -1.99800001306835),
            (0.997000096077419, -1.99700004789126),
        ],
    ),
    "adamw": (
        "adamw",
        1e-3,
        {},
        [
            (0.99899000001, -1.9989800000005),
            (0.997980036587272, -1.99796002353041),
            (0.996970127345402, -1.99694007945141),
        ],
    ),
}
"""Three steps of 0.5 (x1^2 + 10 x2^2) from (1, -2) with the conventions and defaults of torch.optim, float64."""


def steps(rule: str, rate: float, options: dict[str, Any], count: int) -> list[Array]:
    made = rule_of(rule, options, HERE)
    x = np.array([1.0, -2.0])
    state, found = made.begin(x), list[Array]()
    for _ in range(count):
        x, state = made.step(x, np.array([1.0, 10.0]) * x, state, rate)
        found.append(x)
    return found


@pytest.mark.parametrize("case", TRAJECTORIES)
def test_trajectories_are_those_of_torch(case: str) -> None:
    """To 1e-12 of their size; recorded numbers have 15 digits."""
    rule, rate, options, wanted = TRAJECTORIES[case]
    np.testing.assert_allclose(steps(rule, rate, options, 3), wanted, rtol=2e-13)


def test_every_rule_has_its_numbers() -> None:
    """A rule that is added needs some here."""
    assert {rule for rule, *_ in TRAJECTORIES.values()} == set(RULES)


TORCH: dict[str, tuple[str, dict[str, Any], str, dict[str, Any]]] = {
    "sgd": ("sgd", {"weight_decay": 0.01}, "SGD", {"weight_decay": 0.01}),
    "momentum": ("momentum", {"momentum": 0.8}, "SGD", {"momentum": 0.8}),
    "nesterov": ("nesterov", {}, "SGD", {"momentum": 0.9, "nesterov": True}),
    "adagrad": ("adagrad", {"rate_decay": 0.1}, "Adagrad", {"lr_decay": 0.1}),
    "rmsprop": ("rmsprop", {"alpha": 0.9}, "RMSprop", {"alpha": 0.9}),
    "adam": ("adam", {"amsgrad": True}, "Adam", {"amsgrad": True}),
    "adamw": ("adamw", {"weight_decay": 0.1}, "AdamW", {"weight_decay": 0.1}),
}


@pytest.mark.parametrize("case", TORCH)
def test_fifty_steps_equal_those_of_torch(case: str) -> None:
    """Where it is installed, to 1e-12 relative."""
    torch = pytest.importorskip("torch")
    rule, options, name, theirs = TORCH[case]
    x = torch.tensor([1.0, -2.0], dtype=torch.float64, requires_grad=True)
    optimizer = getattr(torch.optim, name)([x], lr=0.01, **theirs)
    for mine in steps(rule, 0.01, options, 50):
        optimizer.zero_grad()
        (0.5 * (x[0] ** 2 + 10 * x[1] ** 2)).backward()
        optimizer.step()
        np.testing.assert_allclose(mine, x.detach().numpy(), rtol=1e-12)


W, DW = np.linspace(-0.4, 0.6, 20), np.linspace(-0.6, 0.4, 20)
RISING = np.linspace(0.6, 0.9, 20)
COURSE: dict[str, tuple[str, float, dict[str, Any], dict[str, Array], list[float]]] = {
    # The course's velocity is -rate times the one here.
    "momentum": (
        "momentum",
        1e-3,
        {},
        {"velocity": -RISING / 1e-3, "t": np.ones(())},
        [0.1406, 0.20738947, 1.4096],
    ),
    "rmsprop": (
        "rmsprop",
        1e-2,
        {},
        {"square": RISING, "mean": np.zeros(20), "velocity": np.zeros(20)},
        [-0.39223849, -0.34037513, 0.59576619],
    ),
    "adam": (
        "adam",
        1e-2,
        {},
        {"mean": RISING, "square": np.linspace(0.7, 0.5, 20), "t": np.array(5.0)},
        [-0.40094747, -0.34836187, 0.59801459],
    ),
    "adagrad": (
        "adagrad",
        1e-2,
        {"eps": 1e-8},
        {"sum": RISING, "t": np.zeros(())},
        [-0.39387628, -0.3416474, 0.59611486],
    ),
}


@pytest.mark.parametrize("case", COURSE)
def test_one_step_is_that_of_the_course(case: str) -> None:
    """The arrays of the notebook of CS231n, as printed there to eight digits: first, second and last entry."""
    rule, rate, options, state, wanted = COURSE[case]
    after, _ = rule_of(rule, options, HERE).step(W, DW, state, rate)
    np.testing.assert_allclose(after[[0, 1, -1]], wanted, atol=6e-9)


@pytest.mark.parametrize("rule", RULES)
def test_rules_are_pure(rule: str) -> None:
    """No rule changes its arguments, and its state survives being stored."""
    made = rule_of(rule, {}, HERE)
    x, gradient = np.array([1.0, -2.0]), np.array([3.0, 0.0])
    _, state = made.step(x, gradient, made.begin(x), 0.1)
    before = {name: value.copy() for name, value in state.items()}
    first, second = (made.step(x, gradient, state, 0.1) for _ in range(2))
    assert first[0].tobytes() == second[0].tobytes()
    assert all(np.array_equal(state[name], before[name]) for name in before)
    assert (x == [1, -2]).all()
    assert (gradient == [3, 0]).all()


def heavy_ball(x: Array, gradient: Array, state: dict[str, Any], rate: float) -> tuple[Array, dict[str, Any]]:
    velocity = 0.9 * state.get("velocity", 0) - rate * gradient
    return x + velocity, {"velocity": velocity}


def test_a_rule_of_the_users_own() -> None:
    """A function of four arguments, whose state begins empty; it equals momentum, as both begin at 0."""
    mine, x = rule_of(heavy_ball, {}, HERE), np.array([1.0, -2.0])
    state, wanted = mine.begin(x), steps("momentum", 0.01, {}, 3)
    for point in wanted:
        x, state = mine.step(x, np.array([1.0, 10.0]) * x, state, 0.01)
        np.testing.assert_allclose(x, point, rtol=1e-14)
    assert mine.name == "heavy_ball"


@pytest.mark.parametrize(
    ("update", "told"),
    [
        (lambda x, g, state, rate: x, "wanted the point and the state"),
        (lambda x, g, state, rate: (x[:1], {}), "wanted \\(2,\\)"),
        (lambda x, g, state, rate: (x, 3), "as a dict"),
        (lambda x, g, state, rate: 1 / 0, "ZeroDivisionError"),
    ],
    ids=["no state", "another shape", "state of a number", "raises"],
)
def test_what_is_wrong_with_a_rule_is_told(update: Any, told: str) -> None:
    """With the traceback, as the user's own exception."""
    with pytest.raises(NoAnswer, match=told):
        rule_of(update, {}, HERE).step(np.zeros(2), np.zeros(2), {}, 0.1)


@pytest.mark.parametrize(
    ("rule", "options", "told"),
    [
        ("adom", {}, "did you mean adam"),
        (3, {}, "wanted the name of a rule"),
        ("adam", {"betta1": 1}, "did you mean beta1"),
        ("adamw", {"momentum": 1}, "no option 'momentum'"),
    ],
)
def test_a_rule_that_is_none(rule: Any, options: dict[str, Any], told: str) -> None:
    """The nearest known name is offered."""
    with pytest.raises(ValueError, match=told):
        check_rule(rule, options)
