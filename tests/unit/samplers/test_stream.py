"""The vectors in STREAM.md, drawn again by a reader that follows its text alone, and by optitrip."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from statistics import NormalDist
from typing import Any

import pytest

from optitrip.space.candidates import Candidates
from optitrip.space.variables import Space

DOCUMENT = (Path(__file__).parents[3] / "optitrip" / "samplers" / "STREAM.md").read_text(encoding="utf-8")
LINES: list[list[Any]] = [json.loads(line) for line in DOCUMENT.splitlines() if line.startswith("    [")]
VECTORS = [line for line in LINES if len(line) == 5]
POINTS = [line for line in LINES if len(line) == 4]
LIMIT = 2**64 - 1


def philox(counter: int, key: int) -> list[int]:
    c, k = [counter >> 64 * i & LIMIT for i in range(4)], [key & LIMIT, key >> 64]
    for _ in range(10):
        a, b = c[0] * 0xD2E7470EE14C6C93, c[2] * 0xCA5A826395121157
        c = [b >> 64 ^ c[1] ^ k[0], b & LIMIT, a >> 64 ^ c[3] ^ k[1], a & LIMIT]
        k = [k[0] + 0x9E3779B97F4A7C15 & LIMIT, k[1] + 0xBB67AE8584CAA73B & LIMIT]
    return c


def stream(seed: int, purpose: str, name: str, first: int, count: int) -> list[int]:
    text = json.dumps([seed, purpose, name], separators=(",", ":"), ensure_ascii=False)
    key = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "little")
    return [philox(w // 4 + 1, key)[w % 4] for w in range(first, first + count)]


def value(entry: dict[str, Any], u: float) -> Any:
    word, given = next(iter(entry.items()))
    if word == "log_uniform":
        low, high = map(math.log, given)
        return min(max(math.exp(low + u * (high - low)), given[0]), given[1])
    if word == "log_integer":
        return min(max(round(value({"log_uniform": [given[0] - 0.5, given[1] + 0.5]}, u)), given[0]), given[1])
    maps: dict[str, Any] = {
        "uniform": lambda: given[0] + u * (given[1] - given[0]),
        "integer": lambda: given[0] + math.floor(u * (given[1] - given[0] + 1)),
        "choice": lambda: given[math.floor(u * len(given))],
        "normal": lambda: NormalDist(*given).inv_cdf(u),
        "log_normal": lambda: math.exp(NormalDist(*given).inv_cdf(u)),
    }
    return maps[word]()


def draw(seed: int, name: str, entry: dict[str, Any], n: int) -> list[Any]:
    size = math.prod(entry.get("shape", []))
    drawn = stream(seed, "candidate", name, n * size, size)
    return [value(entry, ((word >> 12) + 0.5) / 2**52) for word in drawn]


def halton(seed: int, base: int, n: int) -> float:
    k = next(k for k in range(1, 60) if base**k > 2**53)
    drawn = stream(seed, "scramble", f"halton {base}", 0, k * base)
    v = 0
    for place in range(k):
        group = drawn[place * base : (place + 1) * base]
        v += group.index(sorted(group)[n // base**place % base]) * base ** (k - 1 - place)
    return min(max((v + 0.5) / base**k, 2**-53), 1 - 2**-53)


def flat(value: Any) -> list[Any]:
    return [x for part in value for x in flat(part)] if isinstance(value, list) else [value]


@pytest.mark.parametrize(("seed", "name", "entry", "n", "wanted"), VECTORS, ids=str)
def test_the_document_draws_the_candidate(seed: int, name: str, entry: dict[str, Any], n: int, wanted: Any) -> None:
    """Bits are equal but for what goes through the inverse CDF of a normal, exp or log of another library."""
    found = Candidates(Space.parse({name: entry}), seed).values(range(n, n + 1))[name][0].tolist()
    logarithmic = next(iter(entry)) in ("log_normal", "log_uniform")
    assert flat(found) == (pytest.approx(flat(wanted), rel=1e-14) if logarithmic else flat(wanted))
    rounds = logarithmic or "normal" in entry
    read = draw(seed, name, entry, n)
    assert flat(wanted) == (pytest.approx(read, rel=1e-13) if rounds else read)


@pytest.mark.parametrize(("seed", "space", "n", "wanted"), POINTS, ids=str)
def test_the_document_draws_the_point(seed: int, space: dict[str, Any], n: int, wanted: dict[str, Any]) -> None:
    """The bits of the sampler halton, by the bases of all variables together."""
    found = Candidates(Space.parse(space), seed, "halton").values(range(n, n + 1))
    assert {name: column[0].tolist() for name, column in found.items()} == wanted
    primes = iter([2, 3, 5, 7, 11, 13])
    for name in sorted(space):
        size = math.prod(space[name].get("shape", []))
        assert flat(wanted[name]) == [value(space[name], halton(seed, next(primes), n)) for _ in range(size)]


def test_no_vector_is_lost() -> None:
    """None is lost when the document is edited."""
    assert (len(VECTORS), len(POINTS)) == (17, 4)
