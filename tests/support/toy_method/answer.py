"""The answer of a count, and its progress."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optitrip.core.observer import Printable, Progress
from optitrip.core.part import Part
from optitrip.output.outcome import Answer, File, Rows, Table
from optitrip.output.text import first_failure
from optitrip.space.candidates import Candidates
from toy_method.method import HITS, CountResult

FILE = "count.json"


@dataclass(frozen=True)
class CountSoFar(Printable):
    """The partial answer of a count that was stopped."""

    count: int

    def fields(self, folder: Path | None) -> dict[str, Any]:
        return {"count": self.count, "complete": False}

    def rows(self) -> Rows:
        return [("so far", f"{self.count:,}")]


class CountProgress(Progress):
    """Counts hits beside draws."""

    count_so_far = 0

    def see(self, part: Part) -> None:
        self.count_so_far += int(part.columns[HITS][0])

    def words(self) -> str:
        return f"Draw {self.done:,} | Count {self.count_so_far:,}"

    def best(self) -> CountSoFar | None:
        return CountSoFar(self.count_so_far) if self.done else None


@dataclass(frozen=True, eq=False)
class CountAnswer(Answer):
    """The count, and its first hit."""

    result: CountResult
    candidates: Candidates

    @property
    def items(self) -> int:
        return self.result.items

    @property
    def failures(self) -> Mapping[str, int]:
        return self.result.failures.counts()

    def fields(self, folder: Path | None) -> dict[str, Any]:
        file = str(folder / FILE) if folder else None
        return {"count": self.result.count, "first": self.result.first, "complete": True, "file": file}

    def rows(self) -> Rows:
        return [("count", f"{self.result.count:,}"), ("first", f"{self.result.first}")]

    def table(self) -> Table | None:
        return ["first", "count"], [[f"{self.result.first}", f"{self.result.count}"]]

    def metrics(self) -> dict[str, float]:
        return {"count/below": float(self.result.count)}

    def files(self, name: str) -> Iterator[File]:
        yield FILE, lambda: json.dumps([self.result.count, self.result.first]).encode()

    def message(self) -> str:
        return first_failure(self.result.failures, self.candidates)
