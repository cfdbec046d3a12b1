"""The story of a stage: what the plan decided and why, for whoever asks afterwards. No decision depends on it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from textwrap import fill
from typing import Any, NamedTuple

KEPT = 500
"""Entries kept of each kind: of what happens with every slice, and of what seldom happens."""
WHY = 500
"""Characters kept of a reason, which may be a whole traceback."""
ROUTINE = frozenset({"given", "done"})


class Note(NamedTuple):
    """Something that happened."""

    what: str
    """A word: given, done, died, timed-out, lost, halved, given-up, copied, reclaimed, dropped, joined, left, cut,
    draining, replaced, aborted, or the code of a notice."""
    ticket: int = -1
    """Ticket of the slice; -1 for none."""
    items: range = range(0)
    """Range of items; empty for none."""
    slot: str = ""
    """Name of the slot; empty for none."""
    why: str = ""
    """Reason or detail in words."""


class Entry(NamedTuple):
    """A note with its time."""

    seconds: float
    """Seconds since the stage began."""
    note: Note

    def to_json(self) -> list[Any]:
        """Return the entry as it goes into the journal."""
        what, ticket, items, slot, why = self.note
        return [round(self.seconds, 3), what, ticket, items.start, items.stop, slot, why[:WHY]]


@dataclass(frozen=True)
class Story:
    """The latest entries. What happens with every slice is kept apart, so that it does not drown what seldom happens.

    Up to twice as many entries as are kept may be there: older ones are dropped many at a time.
    """

    routine: tuple[Entry, ...] = ()
    """Entries of slices that were handed out and done."""
    notable: tuple[Entry, ...] = ()
    """All other entries."""
    counts: Mapping[str, int] = field(default_factory=dict[str, int])
    """Number of all entries there ever were, by word."""
    began: float | None = None
    """Time of the first step, by the clock of the ticks."""

    def then(self, notes: Sequence[Note], now: float) -> Story:
        """Return the story with what happened in a step."""
        if not notes:
            return self
        began = now if self.began is None else self.began
        counts = dict(self.counts)
        routine, notable = list[Entry](), list[Entry]()
        for note in notes:
            counts[note.what] = counts.get(note.what, 0) + 1
            (routine if note.what in ROUTINE else notable).append(Entry(now - began, note))
        return Story(latest(self.routine, routine), latest(self.notable, notable), counts, began)

    @property
    def entries(self) -> list[Entry]:
        """The entries that are kept, in order of time; of one moment, what seldom happens comes first."""
        return sorted(self.notable[-KEPT:] + self.routine[-KEPT:], key=lambda entry: entry.seconds)

    def about(self, items: range) -> list[Entry]:
        """Return the entries that concern any of these items, and those that concern none in particular."""
        return [
            entry
            for entry in self.entries
            if not entry.note.items or (entry.note.items.start < items.stop and items.start < entry.note.items.stop)
        ]

    def to_json(self) -> dict[str, Any]:
        """Return the story as it goes into the journal."""
        entries = self.entries
        dropped = sum(self.counts.values()) - len(entries)
        return {
            "counts": dict(self.counts),
            "dropped": dropped,
            "entries": [entry.to_json() for entry in entries],
        }


def latest(before: tuple[Entry, ...], more: Iterable[Entry]) -> tuple[Entry, ...]:
    """Return entries with more of them, less the oldest ones if they are far too many."""
    joined = before + tuple(more)
    return joined if len(joined) <= 2 * KEPT else joined[-KEPT:]


def lines(entries: Iterable[Sequence[Any]], width: int = 80) -> Iterator[str]:
    """Word entries, as `to_json` returns them, for people."""
    for seconds, what, ticket, start, stop, slot, why in entries:
        words: list[str] = []
        if ticket >= 0:
            words.append(f"slice {ticket}")
        if stop > start:
            words.append(f"item {start:,}" if stop == start + 1 else f"items {start:,} to {stop - 1:,}")
        if slot:
            words.append(f"at {slot}")
        text = ", ".join(words)
        text += (": " if text and why else "") + why
        yield fill(f"{seconds:9.3f} s  {what:<10} {text}".rstrip(), width, subsequent_indent=" " * 24)
