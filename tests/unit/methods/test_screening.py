"""Screening: the winner is that of a search without it; the worse the surrogate, the more candidates are verified."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare, kstest

import optitrip
from optitrip.app.context import Options
from optitrip.app.run_sweep import run_sweep
from optitrip.core.arrays import Array
from optitrip.core.observer import Observer
from optitrip.errors import InputError, NoAnswer
from optitrip.executors.serial import with_read_only_arrays
from optitrip.loss.objective import Objective
from optitrip.methods.search import screening
from optitrip.methods.search.answer import SearchAnswer
from optitrip.methods.search.method import Search
from optitrip.objectives import Hinge, Softmax
from optitrip.objectives.linear import surrogates as linear_screens
from optitrip.objectives.linear.classifier import LinearClassifier
from optitrip.samplers.random import stream_key, uniform_index
from optitrip.space.candidates import Candidates
from optitrip.space.variables import Space
from optitrip.store.inspect import description
from optitrip.store.lookup import read

pytestmark = pytest.mark.mostly_daily(3)  # of the cases that are alike

TORCH = importlib.util.find_spec("torch") is not None
SCREENS = [
    "low_rank",
    "float32",
    pytest.param("bfloat16", marks=pytest.mark.skipif(not TORCH, reason="PyTorch is an extra")),
]
SPACE = {"W": {"shape": [10, 65], "normal": [0, 0.03]}}


class Bowl:
    """The sum of squares; its surrogate errs by `error` times a number of each point's own, and by `offset`."""

    screens = ("wrong",)
    block = 64

    def __init__(self, error: float, offset: float = 0.0, poison: float = -1.0) -> None:
        self.error, self.offset, self.poison = error, offset, poison
        self.calls = 0

    def __call__(self, x: Array) -> float:
        return float(self.losses(x[np.newaxis])[0])

    def losses(self, x: Array) -> Array:
        self.calls += len(x)
        return np.where(x[:, 0] < self.poison, np.nan, np.square(x).sum(axis=1))

    def screen(self, how: str) -> Any:
        return Wrong(self)


class Wrong:
    def __init__(self, bowl: Bowl) -> None:
        self.bowl = bowl

    def losses(self, x: Array) -> Array:
        errors = np.sin(1e4 * x[:, 0])
        return np.square(x).sum(axis=1) + self.bowl.error * errors + self.bowl.offset


def search(loss: Any, candidates: int = 2_000, **options: Any) -> SearchAnswer:
    space = {"x": {"shape": [4], "uniform": [-1, 1]}}
    return optitrip.search(loss, space, candidates=candidates, executor="serial", **options)


@settings(max_examples=25)
@given(
    error=st.floats(0, 0.3), offset=st.floats(-100, 100), seed=st.integers(0, 2**32), maximize=st.booleans(),
)  # fmt: skip
@pytest.mark.daily
def test_the_winner_is_that_of_the_whole_search(error: float, offset: float, seed: int, maximize: bool) -> None:
    """However far the surrogate is off, in general or about a single candidate, if nothing speaks against it."""
    whole = search(Bowl(error), seed=seed, maximize=maximize)
    found = search(Bowl(error, offset), seed=seed, maximize=maximize, screen="wrong")
    assert found.screening is not None
    assert not found.screening.sign_of_better
    assert (found.index, found.loss) == (whole.index, whole.loss)
    assert found.screening.largest_error <= 2 * error + 1e-9
    assert found.screening.offset == pytest.approx(offset, abs=error + 1e-9)


def test_a_worse_surrogate_has_more_verified() -> None:
    """With a good one the first few do; with a bad one as many as its errors demand."""
    screenings = [search(Bowl(error), screen="wrong").screening for error in (0, 0.5, 1)]
    none, some, many = (len(one.index) for one in screenings if one)
    assert none <= screening.FIRST + screening.SAMPLED + screening.RANDOM < some < many


def test_the_losses_are_the_objectives_own() -> None:
    """Verified candidates, the best few and the report have the objective's losses; the stored losses are the
    surrogate's."""
    bowl = Bowl(0.01, offset=3)
    found, whole = search(bowl, screen="wrong"), search(bowl)
    screening = found.screening
    assert screening is not None
    assert screening.loss.tolist() == whole.losses[screening.index].tolist()
    assert screening.screened.tolist() == found.losses[screening.index].tolist()
    assert np.abs(found.losses - whole.losses - 3).max() <= 0.01 + 1e-9
    assert found.result.best_index.tolist() == whole.result.best_index.tolist()
    assert found.result.best_loss.tolist() == whole.result.best_loss.tolist()
    assert found.result.incumbent_loss[-1] == found.loss


def test_few_candidates_are_all_verified() -> None:
    """Then nothing is left out, and there is no margin."""
    found = search(Bowl(5.0), candidates=20, screen="wrong")
    assert found.screening is not None
    seen = found.screening
    assert (len(seen.index), seen.margin, seen.sign_of_better, seen.unseen) == (20, np.inf, False, 0)
    assert seen.random < 20  # of 64 draws several hit the same
    assert seen.summary.startswith("all 20 verified, largest error")
    assert found.index == search(Bowl(5.0), candidates=20).index


def test_it_says_so_if_one_that_was_left_out_may_be_better(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where errors are as large as the losses differ and no more can be verified, a better one is possible."""
    monkeypatch.setattr(screening, "MOST_VERIFIED", 100)
    found = search(Bowl(5.0), screen="wrong")
    assert found.screening is not None
    assert found.screening.sign_of_better
    assert "a better one may have been missed" in found.message()
    assert "a better one is possible" in repr(found)
    assert found.screening.summary.startswith("a better one is possible: margin ")
    assert not search(Bowl(0.0), screen="wrong").message()


def test_failures_of_both_are_recorded() -> None:
    """A candidate that the objective cannot evaluate is a failure and does not win, whatever the surrogate thinks."""
    bowl = Bowl(0.0, poison=-0.001)  # half of all
    found = search(bowl, screen="wrong")
    whole = search(bowl)
    screening = found.screening
    assert screening is not None
    failed = set(screening.index[np.isnan(screening.loss)].tolist())
    assert failed
    assert found.failures == {"nan": len(failed)}
    assert failed <= set(whole.indices[np.isnan(whole.losses)].tolist())
    assert found.index == whole.index
    with pytest.raises(NoAnswer, match="verified candidates has a finite loss"):
        search(Bowl(0.0, poison=2), screen="wrong")


def test_the_objective_itself_is_called_for_few() -> None:
    """Screening calls the objective itself for few candidates."""
    found = search(Bowl(0.0), candidates=20_000, screen="wrong")
    assert found.screening is not None
    assert len(found.screening.index) <= screening.FIRST + screening.SAMPLED + screening.RANDOM


# Surrogates that fail or mislead


class Bowl2(Bowl):
    """The sum of squares; its surrogate applies `distort` to the losses and the points."""

    def __init__(self, distort: Callable[[Array, Array], Array], poison: float = -1.0) -> None:
        super().__init__(0.0, poison=poison)
        self.distort = distort

    def screen(self, how: str) -> Any:
        return Distorted(self.distort)


class Distorted:
    def __init__(self, distort: Callable[[Array, Array], Array]) -> None:
        self.distort = distort

    def losses(self, x: Array) -> Array:
        return self.distort(np.square(x).sum(axis=1), x)


def fails_with(value: float, below: float) -> Callable[[Array, Array], Array]:
    return lambda losses, x: np.where(losses < below, value, losses)


def raises_below(losses: Array, x: Array) -> Array:
    if (losses < 0.1).any():
        raise ArithmeticError("does not converge")
    return losses


@pytest.mark.parametrize("maximize", [False, True])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_candidates_that_the_surrogate_fails_for_are_verified(value: float, maximize: bool) -> None:
    """It gives no number, or wins with an infinite one, just where the best candidates are."""
    distort = fails_with(value, 0.3)
    sign = -1 if maximize else 1
    loss = Bowl2(distort)
    space = {"x": {"shape": [4], "uniform": [-1, 1]}}
    options: Any = {"candidates": 3_000, "executor": "serial", "maximize": maximize}
    if maximize:
        loss.losses = Negative()
        loss.screen = NegativeScreen(distort)
    whole = optitrip.search(loss, space, **options)
    found = optitrip.search(loss, space, screen="wrong", **options)
    assert found.screening is not None
    failed = np.flatnonzero(sign * whole.losses < 0.3)
    assert len(failed) > 5
    assert set(failed.tolist()) <= set(found.screening.index.tolist())
    assert (found.index, found.loss) == (whole.index, whole.loss)
    assert found.index in failed
    assert (found.screening.sign_of_better, found.screening.unseen) == (False, 0)
    assert not np.isfinite(found.losses[failed]).any()
    assert sum(found.failures.values()) == len(failed)
    assert "screened loss" in found.message()


class Negative:
    def __call__(self, x: Array) -> Array:
        return -np.square(x).sum(axis=1)


class NegativeScreen:
    def __init__(self, distort: Callable[[Array, Array], Array]) -> None:
        self.distort = distort

    def __call__(self, how: str) -> Any:
        surrogate = Distorted(self.distort)
        surrogate.distort = lambda losses, x, inner=self.distort: -inner(losses, x)
        return surrogate


def test_candidates_for_which_the_surrogate_raises_are_verified() -> None:
    """An exception is a failure like any other; the objective's own loss decides."""
    whole = search(Bowl(0.0))
    found = search(Bowl2(raises_below), screen="wrong")
    assert found.screening is not None
    assert found.index == whole.index
    assert found.failures == {"raised": int((whole.losses < 0.1).sum())}
    assert "does not converge" in found.message()


def test_failures_of_the_surrogate_beyond_the_bound_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first ones are verified, and the random sample's; of the others nothing can be said."""
    monkeypatch.setattr(screening, "MOST_VERIFIED", 100)
    whole = search(Bowl(0.0))
    loss = Bowl2(fails_with(np.nan, 1.0))
    found = search(loss, screen="wrong")
    failed = np.flatnonzero(whole.losses < 1.0)
    seen = found.screening
    assert seen is not None
    assert set(failed[:100].tolist()) <= set(seen.index.tolist())
    assert seen.unseen == len(failed) - np.isin(seen.index, failed).sum() > 0
    assert found.loss == whole.losses[seen.index].min()
    assert f"nothing is known of the other {seen.unseen:,}" in found.message()
    assert f"nothing is known of {seen.unseen:,}" in seen.summary
    assert "a better one is possible" in repr(found)
    assert found.fields(None)["screening"]["unseen"] == seen.unseen
    assert found.metrics()["screening/unseen"] == seen.unseen


@pytest.mark.mostly_daily
@pytest.mark.parametrize(
    "distort",
    [lambda losses, x: 0 * losses + 7, lambda losses, x: -losses, lambda losses, x: np.sign(x[:, 0])],
    ids=["constant", "wrong sign", "two values"],
)
@pytest.mark.parametrize("maximize", [False, True])
def test_a_surrogate_that_misleads_is_noticed(
    distort: Callable[[Array, Array], Array], maximize: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ties everywhere, or ranks the worst first: all are verified if they are few, else a better one may exist."""
    loss = Bowl2(distort)
    few = search(loss, maximize=maximize, screen="wrong")
    assert few.index == search(loss, maximize=maximize).index
    assert few.screening is not None
    assert (len(few.screening.index), few.screening.margin) == (2_000, np.inf)
    monkeypatch.setattr(screening, "MOST_VERIFIED", 300)
    many = search(loss, maximize=maximize, screen="wrong")
    assert many.screening is not None
    assert many.screening.sign_of_better
    assert "may have been missed" in many.message()


def test_errors_that_overflow_are_a_sign_of_a_better_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether NumPy warns, is silent or raises."""
    monkeypatch.setattr(screening, "MOST_VERIFIED", 300)
    loss = Bowl2(lambda losses, x: np.where(x[:, 0] < 0, -1.7e308, 1.7e308))
    with np.errstate(all="raise"):
        found = search(loss, screen="wrong")
    assert found.screening is not None
    assert found.screening.sign_of_better


def test_a_rare_regime_is_reported_as_what_was_seen() -> None:
    """The random sample holds a candidate of it or it does not; the word certain is nowhere."""
    rare = Bowl2(lambda losses, x: losses + np.where(x[:, 0] < -0.9, 3.0, 0.0))  # 5 % of all
    found = search(rare, screen="wrong")
    assert found.screening is not None
    assert found.screening.largest_error == pytest.approx(3)
    assert found.index == search(rare).index
    said = json.dumps([found.fields(None), found.rows(), found.message(), repr(found)])
    assert "certain" not in said


def test_one_candidate_can_be_screened() -> None:
    """Fewer candidates than any sample."""
    found = search(Bowl(5.0), candidates=1, screen="wrong")
    assert found.screening is not None
    assert (found.index, found.screening.random, found.screening.margin) == (0, 1, np.inf)


def test_an_objective_that_fails_for_all_verified_has_no_answer() -> None:
    """Though the surrogate has a loss for each."""
    with pytest.raises(NoAnswer, match="verified candidates has a finite loss"):
        search(Bowl2(lambda losses, x: losses, poison=2), screen="wrong")


def test_the_random_sample_is_uniform_and_keeps_its_prefix() -> None:
    """Against the binomial distribution; with one candidate more, a draw stays or is the new one."""
    keys = [stream_key(seed, "sample", "0") for seed in range(2_000)]
    draws = np.array([[uniform_index(key, n) for n in range(1, 41)] for key in keys])
    counts = np.bincount(draws[:, -1], minlength=40)
    assert chisquare(counts).pvalue > 1e-3
    before, after = draws[:, :-1], draws[:, 1:]
    assert ((before == after) | (after == np.arange(1, 40))).all()
    large = [uniform_index(key, 2**53) / 2**53 for key in keys]
    assert kstest(large, "uniform").pvalue > 1e-3
    samples = [set(screening.random_sample(Search(draws_of(4), n))) for n in (10_000, 20_000)]
    assert all(len(sample) > 55 for sample in samples)
    assert 20 < len(samples[0] & samples[1]) < 45  # half of them


def draws_of(seed: int) -> Candidates:
    return Candidates(Space.parse({"x": {"uniform": [-1, 1]}}), seed)


def test_random_candidates_without_a_stored_loss_are_screened_again() -> None:
    """Beyond a million candidates not all losses are stored; here, beyond fifty."""
    objective = Objective(Bowl2(lambda losses, x: losses + 3))
    objective = replace(objective, surrogate=Objective(objective.loss.screen("wrong"), block=64))
    points = Candidates(Space.parse({"x": {"shape": [4], "uniform": [-1, 1]}}), 3)
    method = Search(points, 9_000, keep_all=50, screen="wrong")
    route: Any = screening.screened(method)
    stages, seen, result = list[Any](), None, None
    while seen is None:
        try:
            stages.append(route.send(result))
        except StopIteration as end:
            _, seen = end.value
        else:
            stage = stages[-1]
            result = stage.result(stage.evaluate(stage.prepare(objective), range(stage.items)))
    again = stages[1]
    assert isinstance(again, screening.Verification)
    assert again.screen == "wrong"
    assert again.digest() != replace(again, screen=None).digest()
    random = screening.random_sample(method)
    assert set(again.indices) < set(random) <= set(seen.index.tolist())
    assert np.isfinite(seen.screened).all()
    assert seen.largest_error == pytest.approx(0, abs=1e-12)


# The screens of linear classifiers


@pytest.fixture(scope="module", params=[Softmax, Hinge], ids=["softmax", "hinge"])
def classifier(request: pytest.FixtureRequest) -> LinearClassifier:
    return request.param("digits", l2=1e-3)


@pytest.mark.mostly_daily
@pytest.mark.parametrize("how", SCREENS)
def test_screening_finds_the_winner_of_digits(classifier: LinearClassifier, how: str) -> None:
    """Each screen, with real images, against the search without it."""
    options: Any = {"candidates": 3_000, "executor": "serial"}
    whole = optitrip.search(classifier, SPACE, **options)
    found = optitrip.search(classifier, SPACE, screen=how, **options)
    assert found.screening is not None
    assert not found.screening.sign_of_better
    assert found.index == whole.index
    assert found.loss == pytest.approx(whole.loss, rel=1e-13)
    assert len(found.screening.index) < 3_000 / 2


@pytest.mark.parametrize("how", SCREENS)
def test_a_screen_gives_the_same_bits_in_any_place_and_on_a_worker(classifier: LinearClassifier, how: str) -> None:
    """Law 1 for surrogates: neighbours, pickling and read-only arrays change nothing."""
    W = np.random.default_rng(4).standard_normal((64, 10, 65)) * 0.03
    surrogate: Any = classifier.screen(how)
    whole = surrogate.losses(W)
    for place in (0, 17, 63):
        assert surrogate.losses(np.repeat(W[place : place + 1], 64, axis=0))[place] == whole[place]
    assert with_read_only_arrays(surrogate).losses(W).tobytes() == whole.tobytes()
    assert classifier.screen(how).losses(W).tobytes() == whole.tobytes()


def test_a_low_rank_of_all_directions_leaves_nothing_out(classifier: LinearClassifier) -> None:
    """64 pixels and a column of ones have 65 directions: what remains is the rounding of float32."""
    W = np.random.default_rng(5).standard_normal((64, 10, 65)) * 0.3
    assert linear_screens.RANK >= 65
    np.testing.assert_allclose(classifier.screen("low_rank").losses(W), classifier.losses(W), rtol=1e-5)


def test_what_a_low_rank_leaves_out_is_of_second_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """With W a tenth as large the error of 8 directions out of 65 is a hundredth, and far below that of doing without
    the linear term."""
    monkeypatch.setattr(linear_screens, "RANK", 8)
    softmax = Softmax("digits")
    surrogate: Any = softmax.screen("low_rank")
    W = np.random.default_rng(6).standard_normal((64, 10, 65)) * 1e-3
    errors = [np.abs(surrogate.losses(scale * W) - softmax.losses(scale * W)).max() for scale in (1, 10)]
    assert errors[1] == pytest.approx(100 * errors[0], rel=0.3)
    linear = np.abs(W.reshape(64, -1) @ surrogate._linear.ravel()).max()
    assert errors[0] < linear / 20


def test_the_directions_are_those_of_the_singular_value_decomposition(monkeypatch: pytest.MonkeyPatch) -> None:
    """SciPy's, of all images: the share that is left out is within a thousandth of the least possible."""
    monkeypatch.setattr(linear_screens, "RANK", 8)
    x = Softmax("digits").x
    basis = linear_screens.principal_directions(x).astype(np.float64)
    np.testing.assert_allclose(basis.T @ basis, np.eye(8), atol=1e-5)
    least = np.square(np.linalg.svd(x, compute_uv=False)[8:]).sum()
    assert np.square(x - x @ basis @ basis.T).sum() <= 1.001 * least


# Refused sweep files, and result files


def write(folder: Path, method: str, loss: str = "optitrip.objectives:Softmax") -> Path:
    file = folder / "screened.toml"
    file.write_text(
        f"""
[objective]
loss = "{loss}"

[space]
W = {{ shape = [10, 65], normal = [0, 0.03] }}

[method]
use = "search"
candidates = 500
{method}
[run]
executor = "serial"

[tracking]
use = "none"
"""
    )
    return file


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ('screen = "low-rank"', r"screened.toml:11.*no screen 'low-rank'; did you mean low_rank"),
        ('screen = "low_rank"\ndevice = "cuda"', "screened.toml:11.*runs on the CPU"),
        ('device = "cuda"', "screened.toml:11.*only applies to screening"),
    ],
)
def test_a_wrong_screen_is_refused_at_its_line(tmp_path: Path, method: str, said: str) -> None:
    """With what the objective offers, before anything is evaluated."""
    with pytest.raises(InputError, match=said):
        run_sweep(read(write(tmp_path, method)), Options(tmp_path / "state"), Observer())


def test_a_loss_without_screens_is_refused(tmp_path: Path) -> None:
    """Whether it has none or is to be called plainly."""
    with pytest.raises(InputError, match="offers no screen 'float32'; wanted an objective with `screens`"):
        search(lambda x: 0.0, screen="float32")
    with pytest.raises(InputError, match=r"offers no screen.*plain is set"):
        search(Bowl(0.0), screen="wrong", plain=True)


@pytest.mark.skipif(TORCH, reason="PyTorch is installed")
def test_without_pytorch_the_extra_is_named(tmp_path: Path) -> None:
    """A screen that takes it is refused at its line."""
    with pytest.raises(InputError, match=r"screened.toml:11.*install optitrip\[torch\]"):
        run_sweep(read(write(tmp_path, 'screen = "bfloat16"')), Options(tmp_path / "state"), Observer())


def test_files_and_figures_describe_the_screening(tmp_path: Path) -> None:
    """JSON, the short table, and which candidates were verified with both losses."""
    sweep = read(write(tmp_path, 'screen = "low_rank"'))
    assert "screened by low_rank" in description(sweep)
    outcome = run_sweep(sweep, Options(tmp_path / "state"), Observer())
    answer = outcome.answer
    assert isinstance(answer, SearchAnswer)
    assert answer.screening is not None
    said: Mapping[str, Any] = json.loads(json.dumps(outcome.to_json()))["screening"]
    assert (said["screen"], said["verified"], said["random"]) == ("low_rank", len(answer.screening.index), 62)
    assert (said["sign_of_better"], said["unseen"]) == (False, 0)
    words = dict(answer.rows())["screened"]
    assert words.startswith("by low_rank; no sign of a better one: margin ")
    assert words.endswith(f"on {said['verified'] - 62} + a random sample of 62")
    folder = Path(str(outcome.state_dir))
    verified = pq.read_table(folder / "verified.parquet").to_pydict()
    assert verified["loss"] == answer.screening.loss.tolist()
    assert min(verified["loss"]) == answer.loss
    assert pq.read_table(folder / "candidates.parquet").column_names == ["index", "screened", "status"]
    again = run_sweep(sweep, Options(tmp_path / "state"), Observer())
    assert again.evaluated == 0
    assert isinstance(again.answer, SearchAnswer)
    assert again.answer.loss == answer.loss
