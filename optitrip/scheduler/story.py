"""The story of a stage: the plan's decisions and their reasons, for `optitrip show --story`. Nothing depends on it."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from textwrap import fill
from typing import Any, NamedTuple

MAX_ENTRIES = 500
"""Number of entries shown of each kind, routine (every slice has some) and notable."""
MAX_REASON = 500
"""Number of characters stored of a reason, which may be a whole traceback."""
ROUTINE = frozenset({"given", "done"})


class Note(NamedTuple):
    """An event or a decision."""

    what: str
    """Word: given, done, died, timed-out, lost, halved, item-failed, copied, reclaimed, dropped, joined, left, cut,
    draining, replaced, aborted, or the code of a notice."""
    ticket: int = -1
    """Ticket of the slice; -1 for none."""
    items: range = range(0)
    """Range of items; empty for none."""
    slot: str = ""
    """Name of the slot; empty for none."""
    why: str = ""
    """Reason or detail as text."""
    seconds: float = 0.0
    """Seconds from the start of the stage to the end of the step."""

    def to_json(self) -> list[Any]:
        what, ticket, items, slot, why, seconds = self
        return [round(seconds, 3), what, ticket, items.start, items.stop, slot, why[:MAX_REASON]]


@dataclass(frozen=True)
class Story:
    """The latest entries. Routine ones are held separately, so that they do not crowd out the notable ones."""

    routine: tuple[Note, ...] = ()
    """Entries for slices handed out and done."""
    notable: tuple[Note, ...] = ()
    """All other entries."""
    counts: Mapping[str, int] = field(default_factory=dict[str, int])
    """Number of entries by word, including dropped ones."""
    began: float | None = None
    """Time of the first step, by the clock of the ticks."""

    def then(self, notes: Sequence[Note], now: float) -> "Story":
        """Return the story extended by the notes of a step."""
        if not notes:
            return self
        began = now if self.began is None else self.began
        counts = Counter(self.counts)
        counts.update(note.what for note in notes)
        timed = [note._replace(seconds=now - began) for note in notes]
        routine = latest(self.routine, [note for note in timed if note.what in ROUTINE])
        return Story(routine, latest(self.notable, [note for note in timed if note.what not in ROUTINE]), counts, began)

    @property
    def entries(self) -> list[Note]:
        """Latest entries in order of time; of those with equal times, the notable ones first."""
        return sorted(self.notable[-MAX_ENTRIES:] + self.routine[-MAX_ENTRIES:], key=lambda note: note.seconds)

    def to_json(self) -> dict[str, Any]:
        """Return the story in the form that the journal stores."""
        entries = [note.to_json() for note in self.entries]
        return {"counts": dict(self.counts), "dropped": sum(self.counts.values()) - len(entries), "entries": entries}


def latest(entries: tuple[Note, ...], more: Sequence[Note]) -> tuple[Note, ...]:
    """Join entries; once there are twice as many as are shown, drop the older half in one go, which saves copies."""
    joined = (*entries, *more)
    return joined if len(joined) <= 2 * MAX_ENTRIES else joined[-MAX_ENTRIES:]


def lines(entries: Iterable[Sequence[Any]], width: int = 80) -> Iterator[str]:
    """Format entries, in the form that the journal stores, as lines of text."""
    for seconds, what, ticket, start, stop, slot, why in entries:
        words = [f"slice {ticket}"] if ticket >= 0 else []
        if stop > start:
            words.append(f"item {start:,}" if stop == start + 1 else f"items {start:,} to {stop - 1:,}")
        if slot:
            words.append(f"at {slot}")
        text = ": ".join(filter(None, (", ".join(words), why)))
        yield fill(f"{seconds:9.3f} s  {what:<10} {text}".rstrip(), width, subsequent_indent=" " * 24)
