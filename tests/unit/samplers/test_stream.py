"""The vectors in STREAM.md, drawn again by a reader that follows its text alone, and by optitrip."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from statistics import NormalDist
from typing import Any

import pytest

from optitrip.space.variables import Candidates, Space

DOCUMENT = (Path(__file__).parents[3] / "optitrip" / "samplers" / "STREAM.md").read_text(encoding="utf-8")
VECTORS: list[list[Any]] = [json.loads(line) for line in DOCUMENT.splitlines() if line.startswith("    [")]
LIMIT = 2**64 - 1


def philox(counter: int, key: int) -> list[int]:
    c, k = [counter >> 64 * i & LIMIT for i in range(4)], [key & LIMIT, key >> 64]
    for _ in range(10):
        a, b = c[0] * 0xD2E7470EE14C6C93, c[2] * 0xCA5A826395121157
        c = [b >> 64 ^ c[1] ^ k[0], b & LIMIT, a >> 64 ^ c[3] ^ k[1], a & LIMIT]
        k = [k[0] + 0x9E3779B97F4A7C15 & LIMIT, k[1] + 0xBB67AE8584CAA73B & LIMIT]
    return c


def draw(seed: int, name: str, entry: dict[str, Any], n: int) -> list[Any]:
    text = json.dumps([seed, "candidate", name], separators=(",", ":"), ensure_ascii=False)
    key = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "little")
    size = math.prod(entry.get("shape", []))
    us = [((philox(w // 4 + 1, key)[w % 4] >> 12) + 0.5) / 2**52 for w in range(n * size, (n + 1) * size)]
    word, given = next(iter(entry.items()))
    maps: dict[str, Any] = {
        "uniform": lambda u: given[0] + u * (given[1] - given[0]),
        "integer": lambda u: given[0] + math.floor(u * (given[1] - given[0] + 1)),
        "choice": lambda u: given[math.floor(u * len(given))],
        "normal": lambda u: NormalDist(*given).inv_cdf(u),
    }
    return [maps[word](u) for u in us]


def flat(value: Any) -> list[Any]:
    return [x for part in value for x in flat(part)] if isinstance(value, list) else [value]


@pytest.mark.parametrize(("seed", "name", "entry", "n", "value"), VECTORS, ids=str)
def test_the_document_draws_the_candidate(seed: int, name: str, entry: dict[str, Any], n: int, value: Any) -> None:
    """Bits are equal but for normals, whose inverse CDF is another library's."""
    found = Candidates(Space.parse({name: entry}), seed).values(range(n, n + 1))[name][0].tolist()
    assert found == value
    wanted = draw(seed, name, entry, n)
    assert flat(value) == (pytest.approx(wanted, rel=1e-13) if "normal" in entry else wanted)


def test_there_are_ten_vectors() -> None:
    """None is lost when the document is edited."""
    assert len(VECTORS) == 10
