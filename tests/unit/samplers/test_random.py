"""The random sampler: known bits, named streams, and numbers that stay inside (0, 1)."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optitrip.core.arrays import Array
from optitrip.samplers import SAMPLERS
from optitrip.samplers.random import Random, open_unit, stream_key, words
from optitrip.space.distributions import Normal

MASK = 2**64 - 1


def philox_4x64_10(counter: int, key: int) -> list[int]:
    """Philox 4x64-10 as in figure 2 and section 4.3 of the SC '11 paper, in Python's integers."""
    c = [counter >> 64 * i & MASK for i in range(4)]
    k = [key >> 64 * i & MASK for i in range(2)]
    for _ in range(10):
        product0, product1 = 0xD2E7470EE14C6C93 * c[0], 0xCA5A826395121157 * c[2]
        c = [product1 >> 64 ^ c[1] ^ k[0], product1 & MASK, product0 >> 64 ^ c[3] ^ k[1], product0 & MASK]
        k = [(k[0] + 0x9E3779B97F4A7C15) & MASK, (k[1] + 0xBB67AE8584CAA73B) & MASK]
    return c


def philox_words(key: int, start: int, count: int) -> list[int]:
    """Words of the stream: group g of four is the block of counter g + 1, as NumPy counts."""
    return [philox_4x64_10(n // 4 + 1, key)[n % 4] for n in range(start, start + count)]


def key_of(seed: int, purpose: str, name: str) -> int:
    """Return the key as the design defines it, with its JSON spelled out."""
    text = f'[{seed},"{purpose}","{name}"]'
    return sum(byte << 8 * i for i, byte in enumerate(hashlib.blake2b(text.encode("utf-8"), digest_size=16).digest()))


KNOWN_ANSWERS = [
    (0, 0, ["16554d9eca36314c", "db20fe9d672d0fdc", "d7e772cee186176b", "7e68b68aec7ba23b"]),
    (2**256 - 1, 2**128 - 1, ["87b092c3013fe90b", "438c3c67be8d0224", "9cc7d7c69cd777b6", "a09caebf594f0ba0"]),
    (
        0x082EFA98EC4E6C89A4093822299F31D013198A2E03707344243F6A8885A308D3,
        0xBE5466CF34E90C6C452821E638D01377,
        ["a528f45403e61d95", "38c72dbd566e9788", "a5a1610e72fd18b5", "57bd43b5e52b7fe6"],
    ),
]


@pytest.mark.parametrize(("counter", "key", "wanted"), KNOWN_ANSWERS)
def test_our_reading_of_the_paper_is_right(counter: int, key: int, wanted: list[str]) -> None:
    """The Philox of this file gives the known answers that the paper's authors publish with Random123."""
    assert [f"{word:016x}" for word in philox_4x64_10(counter, key)] == wanted


@given(st.integers(0, 2**128 - 1), st.integers(0, 2**66), st.integers(0, 9))
def test_words_are_those_of_philox(key: int, start: int, count: int) -> None:
    """Any stretch of any stream is what the paper's formula says."""
    found = words(key, start, count)
    assert found.dtype == np.uint64
    assert found.tolist() == philox_words(key, start, count)


@given(
    st.integers(-(2**70), 2**70),
    st.sampled_from(["candidate", "direction", "noise"]),
    st.sampled_from(["W", "größe", "名"]),
)
def test_the_key_is_blake2b_of_compact_json(seed: int, purpose: str, name: str) -> None:
    """128 bits, little-endian, of UTF-8 JSON without spaces or escapes."""
    assert stream_key(seed, purpose, name) == key_of(seed, purpose, name)


@given(st.integers(0, 100), st.integers(0, 50), st.integers(1, 7), st.integers(0, 5))
def test_a_row_is_its_words(seed: int, start: int, size: int, count: int) -> None:
    """Row n of a variable is words n * size to (n + 1) * size of its stream, each mapped to (0, 1)."""
    found = Random().unit(seed, {"x": size}, range(start, start + count))["x"]
    raw = philox_words(key_of(seed, "candidate", "x"), start * size, count * size)
    wanted = [((word >> 12) + 0.5) / 2**52 for word in raw]
    assert found.shape == (count, size)
    assert found.dtype == np.float64
    assert found.ravel().tolist() == wanted


@given(st.integers(0, 300), st.integers(0, 40), st.integers(1, 9), st.integers(0, 5))
def test_any_range_is_the_slice_of_a_longer_draw(start: int, count: int, size: int, seed: int) -> None:
    """Row n does not depend on where the draw began or ended."""
    whole = Random().unit(seed, {"x": size}, range(350))["x"]
    part = Random().unit(seed, {"x": size}, range(start, start + count))["x"]
    assert part.tobytes() == whole[start : start + count].tobytes()


@given(st.permutations(["a", "b", "c", "d"]), st.integers(0, 4), st.integers(0, 1000))
def test_other_variables_move_nothing(order: list[str], count: int, start: int) -> None:
    """Adding, removing and reordering variables leaves every variable's numbers where they were."""
    sizes = {"a": 1, "b": 3, "c": 10, "d": 1}
    items = range(start, start + 5)
    whole = Random().unit(7, sizes, items)
    some = Random().unit(7, {name: sizes[name] for name in order[:count]}, items)
    assert list(some) == order[:count]
    assert all(some[name].tobytes() == whole[name].tobytes() for name in some)


STREAMS = [
    (0, "candidate", "a"), (1, "candidate", "a"), (-1, "candidate", "a"), (0, "direction", "a"),
    (0, "candidate", "b"), (0, "candidate", "A"), (0, "candidate", "a1"), (10, "candidate", "a"),
]  # fmt: skip


def draw(stream: tuple[int, str, str], count: int) -> Array:
    seed, purpose, name = stream
    return Random(purpose=purpose).unit(seed, {name: 1}, range(count))[name].ravel()


def test_streams_differ() -> None:
    """Another seed, purpose or name is another stream: no number of a thousand is shared."""
    drawn = np.concatenate([draw(stream, 1000) for stream in STREAMS])
    assert len(np.unique(drawn)) == 1000 * len(STREAMS)


def test_streams_are_not_correlated() -> None:
    """Correlations of 4,096 numbers stay within five standard deviations of zero."""
    correlations = np.corrcoef([draw(stream, 4096) for stream in STREAMS])
    assert np.abs(correlations - np.eye(len(STREAMS))).max() < 5 / 64


def test_the_stream_is_frozen() -> None:
    """The first numbers of a stream, written down once: if they change, every recorded sweep does."""
    found = Random().unit(0, {"W": 2}, range(2))["W"]
    assert [u.hex() for u in found.ravel().tolist()] == FROZEN


FROZEN = [
    "0x1.dd9dfd0f68c65p-1",
    "0x1.6c6c9c5523139p-1",
    "0x1.4c14fe7ea36a8p-4",
    "0x1.fa6b95c6f7ee8p-4",
]


@pytest.mark.parametrize("word", [0, 1, 2**11, 2**12 - 1, 2**12, 2**63, 2**64 - 2**12 - 1, 2**64 - 2**12, 2**64 - 1])
def test_open_unit_is_open(word: int) -> None:
    """No word, not the lowest nor the highest, maps to 0 or 1."""
    (u,) = open_unit(np.array([word], np.uint64)).tolist()
    assert 0 < u < 1
    assert u == ((word >> 12) + 0.5) / 2**52


def test_open_unit_is_symmetric() -> None:
    """The outermost values are equally far from their ends, exactly."""
    low, high = open_unit(np.array([0, 2**64 - 1], np.uint64)).tolist()
    assert (low, high) == (2.0**-53, 1 - 2.0**-53)


@pytest.mark.parametrize("total", [20_000_000, pytest.param(200_000_000, marks=pytest.mark.thorough)])
def test_millions_of_numbers_stay_inside(total: int) -> None:
    """No u is 0 or 1 and no normal value is infinite."""
    chunk = 2**17
    normal = Normal(0, 1)

    def extremes(start: int) -> tuple[float, float, float, float, int]:
        unit = Random().unit(0, {"x": 1}, range(start, min(total, start + chunk)))["x"]
        low, high = float(unit.min()), float(unit.max())
        values = normal.values(unit)
        return low, high, float(values.min()), float(values.max()), values.size

    with ThreadPoolExecutor(2) as pool:
        found = np.array(list(pool.map(extremes, range(0, total, chunk))))
    assert found[:, 4].sum() == total
    assert found[:, 0].min() > 0
    assert found[:, 1].max() < 1
    assert np.isfinite(found).all()
    assert 5 < found[:, 3].max() < 8.3
    assert -8.3 < found[:, 2].min() < -5


def test_numbers_are_uniform() -> None:
    """A million numbers fill 1,000 cells evenly: chi-square within five standard deviations of its mean."""
    unit = Random().unit(3, {"x": 10}, range(100_000))["x"]
    counts = np.bincount((unit.ravel() * 1000).astype(int), minlength=1000)
    assert abs(((counts - 1000) ** 2 / 1000).sum() - 999) < 5 * np.sqrt(2 * 999)


def test_nothing_of_the_world_matters() -> None:
    """NumPy's global state neither changes the numbers nor is changed by them."""
    before = np.random.get_state()[1].tobytes()  # noqa: NPY002 # pyright: ignore
    first = Random().unit(0, {"x": 4}, range(3))["x"]
    assert np.random.get_state()[1].tobytes() == before  # noqa: NPY002 # pyright: ignore
    np.random.default_rng().random()
    assert first.tobytes() == Random().unit(0, {"x": 4}, range(3))["x"].tobytes()


def test_the_registry_knows_it() -> None:
    """Sweep files find the sampler under its own name."""
    assert all(sampler.name == name for name, sampler in SAMPLERS.items())
    assert SAMPLERS["random"] == Random()
