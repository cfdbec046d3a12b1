"""The journal: what was written comes back to the bit, and a tiling counts nothing twice."""

from __future__ import annotations

import random
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples import bits
from optitrip.core.failures import Failures, Record
from optitrip.core.part import Part
from optitrip.errors import StateError, Stopped
from optitrip.journal.database import fact_checksum
from optitrip.journal.facts import (
    Accepted,
    Commands,
    Created,
    Epoch,
    EvaluatingHere,
    Fact,
    JournalName,
    OpenRun,
    Origin,
    Outbox,
    Owner,
    Predecessor,
    Provenance,
    RecordedRun,
    RunningNow,
    StageStarted,
    StoredResult,
    StoredStory,
    SweepFact,
    SweepText,
)
from optitrip.journal.journal import Journal
from optitrip.journal.rows import missing

DIGEST = b"d" * 16


def part(lo: int, hi: int, value: float = 1.0) -> Part:
    odd = np.array([np.nan, -0.0, np.inf, value])
    failures = Failures.of({lo: "raised"}, [("raised", Record(lo, "E", "m", "t"))])
    return Part(range(lo, hi), {"loss": odd, "best_index": np.array([lo])}, failures)


def write(journal: Journal, *parts: Part, stage: int = 0, digest: bytes = DIGEST) -> list[range]:
    return journal.write(stage, digest, [(part, 0.5) for part in parts], written=1234)


def test_parts_come_back_to_the_bit(tmp_path: Path) -> None:
    """NaN, -0.0 and infinity survive, after closing and opening too."""
    journal = Journal(tmp_path / "j")
    write(journal, part(0, 5), part(5, 9))
    journal.close()
    found = list(Journal(tmp_path / "j").parts(0, DIGEST, [range(0, 5), range(5, 9)]))
    assert [bits(read) for read, _ in found] == [bits(part(0, 5)), bits(part(5, 9))]
    assert [time for _, time in found] == [1234, 1234]


def longest_chain(rows: set[tuple[int, int]], items: int) -> list[range]:
    """Return the chain from 0 that takes at each point the longest row not past N, as the design defines it."""
    chain, at = list[range](), 0
    while at < items:
        stops = [hi for lo, hi in rows if lo == at and hi <= items]
        if stops:
            chain.append(range(at, max(stops)))
            at = max(stops)
        else:
            at += 1
    return chain


ROWS = st.sets(st.tuples(st.integers(0, 30), st.integers(1, 12)).map(lambda pair: (pair[0], pair[0] + pair[1])))


@given(rows=ROWS, items=st.integers(1, 35))
def test_a_tiling_is_the_longest_chain(rows: set[tuple[int, int]], items: int) -> None:
    """Overlapping rows never count twice, and the missing ranges are those that the chain lacks."""
    journal = Journal(Path(":memory:"))
    write(journal, *(part(lo, hi) for lo, hi in sorted(rows)))
    tiles = journal.tiling(0, DIGEST, items)
    assert tiles == longest_chain(rows, items)
    gaps = missing(tiles, items)
    assert sorted([n for tile in tiles for n in tile] + [n for gap in gaps for n in gap]) == list(range(items))


@given(rows=ROWS, items=st.integers(1, 35), data=st.data())
def test_filling_the_gaps_in_any_pieces_completes_the_tiling(
    rows: set[tuple[int, int]], items: int, data: st.DataObject
) -> None:
    """A stage is finished exactly when its rows tile [0, N)."""
    journal = Journal(Path(":memory:"))
    write(journal, *(part(lo, hi) for lo, hi in sorted(rows)))
    for gap in missing(journal.tiling(0, DIGEST, items), items):
        assert missing(journal.tiling(0, DIGEST, items), items)
        cut = data.draw(st.integers(gap.start, gap.stop))
        write(journal, *(part(a, b) for a, b in ((gap.start, cut), (cut, gap.stop)) if a < b))
    assert missing(journal.tiling(0, DIGEST, items), items) == []


def test_rows_of_another_stage_or_method_are_not_found(tmp_path: Path) -> None:
    """A route replayed with another method at a stage finds no rows of it; the old rows stay."""
    journal = Journal(tmp_path / "j")
    write(journal, part(0, 5))
    assert journal.tiling(1, DIGEST, 5) == []
    assert journal.tiling(0, b"e" * 16, 5) == []
    write(journal, part(0, 5), digest=b"e" * 16)
    assert journal.tiling(0, DIGEST, 5) == [range(0, 5)]


def test_a_repeated_part_is_stored_once_and_another_outcome_is_reported(tmp_path: Path) -> None:
    """Duplicates are harmless; another outcome shows that the objective is not deterministic, and the first stays."""
    journal = Journal(tmp_path / "j")
    assert write(journal, part(0, 5)) == []
    assert write(journal, part(0, 5)) == []
    assert write(journal, part(0, 5, value=2.0)) == [range(0, 5)]
    assert [bits(stored) for stored, _ in journal.parts(0, DIGEST, [range(0, 5)])] == [bits(part(0, 5))]


@pytest.mark.parametrize("column", ["columns", "failures", "lo", "hi", "stage", "nanoseconds", "written"])
def test_a_damaged_row_is_reported_and_left_out(tmp_path: Path, column: str) -> None:
    """A row's checksum shows damage that SQLite does not; other rows stay, and the damaged file is stored."""
    journal = Journal(tmp_path / "j")
    write(journal, part(0, 5), part(5, 9))
    journal.close()
    with sqlite3.connect(tmp_path / "j") as database:
        (value,) = database.execute(f"SELECT {column} FROM part WHERE lo = 5").fetchone()
        wrong = value + 100 if isinstance(value, int) else value[:-3] + bytes([value[-3] ^ 16]) + value[-2:]
        database.execute(f"UPDATE part SET {column} = ? WHERE lo = 5", (wrong,))
    again = Journal(tmp_path / "j")
    assert again.damage[0].startswith("the row of stage ")
    assert again.tiling(0, DIGEST, 9) == [range(0, 5)]
    write(again, part(5, 9))
    assert again.tiling(0, DIGEST, 9) == [range(0, 5), range(5, 9)]
    again.close()
    assert Journal(tmp_path / "j").damage == ()
    assert (tmp_path / "j.damaged-1").exists()


def test_the_journal_of_another_sweep_is_refused(tmp_path: Path) -> None:
    """A file that was put in another's place does not open; the checksums of its rows would not fit either."""
    journal = Journal(tmp_path / "j", "1a2b3c4d")
    write(journal, part(0, 5))
    journal.close()
    with pytest.raises(StateError, match="another sweep"):
        Journal(tmp_path / "j", "00000000")


def small(path: Path) -> dict[range, Any]:
    """Write a small journal; return the bits of its parts by range."""
    journal = Journal(path, "sweep")
    parts = [Part(range(n, n + 1), {"loss": np.array([float(n)])}) for n in range(0, 120, 3)]
    write(journal, *parts)
    journal.note(Accepted(8))
    journal.close()
    return {part.items: bits(part) for part in parts}


def surviving_rows(path: Path, data: bytes, written: dict[range, Any]) -> int:
    """Return how many rows a journal of these bytes still has, each as it was written; -1 if the file is refused."""
    for file in path.parent.iterdir():
        file.unlink()
    path.write_bytes(data)
    try:
        journal = Journal(path, "sweep")
        found = {}
        for stage, digest, items, _ in journal.rows():
            for stored, time in journal.parts(stage, digest, [items]):
                assert (stage, digest, time) == (0, DIGEST, 1234)
                found[stored.items] = bits(stored)
        journal.close()
    except StateError:
        return -1
    assert found.items() <= written.items()
    return len(found)


def test_no_flipped_bit_and_no_lost_end_gives_a_wrong_answer(tmp_path: Path) -> None:
    """After 100 flips of one to three bits, and cuts at many places, each row is as written, or left out."""
    flips_and_cuts(tmp_path, flips=100, stride=1_597)


@pytest.mark.daily
def test_no_flipped_bit_and_no_lost_end_gives_a_wrong_answer_more_often(tmp_path: Path) -> None:
    """400 flips and four times as many truncations: rows are as written, or not there."""
    flips_and_cuts(tmp_path, flips=400, stride=397)


@pytest.mark.thorough
@pytest.mark.timeout(3_600)
def test_no_flipped_bit_and_no_lost_end_gives_a_wrong_answer_at_length(tmp_path: Path) -> None:
    """12,000 flips and every truncation: rows are as written, or not there."""
    flips_and_cuts(tmp_path, flips=12_000, stride=1)


def flips_and_cuts(folder: Path, flips: int, stride: int) -> None:
    written = small(folder / "j")
    data = (folder / "j").read_bytes()
    draw = random.Random(0)
    rows = 0
    for _ in range(flips):
        damaged = bytearray(data)
        for _ in range(draw.randint(1, 3)):
            damaged[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        rows += max(0, surviving_rows(folder / "j", bytes(damaged), written))
    lengths = range(0, len(data), stride)
    for length in lengths:
        surviving_rows(folder / "j", data[:length], written)
    print(
        f"{flips} flips, {len(lengths)} of {len(data)} truncations: {rows / flips / len(written):.1%} of rows survive"
    )
    assert rows > 0.9 * flips * len(written)


def test_a_renamed_column_is_damage(tmp_path: Path) -> None:
    """A flipped bit in the definition of a table is found, though every row is intact."""
    written = small(tmp_path / "j")
    data = (tmp_path / "j").read_bytes()
    assert data.count(b"written INTEGER") == 1
    renamed = data.replace(b"written INTEGER", b"wrItten INTEGER")
    assert surviving_rows(tmp_path / "j", renamed, written) == len(written)


def test_a_second_writer_fences_the_first(tmp_path: Path) -> None:
    """Where a lock fails, the journal's epoch does not: the command that opened it last writes, the other one stops."""
    first = Journal(tmp_path / "j")
    write(first, part(0, 5))
    second = Journal(tmp_path / "j")
    write(second, part(5, 9))
    with pytest.raises(Stopped, match="taken over this sweep"):
        write(first, part(9, 12))
    assert second.tiling(0, DIGEST, 12) == [range(0, 5), range(5, 9)]


def test_reading_disturbs_nobody(tmp_path: Path) -> None:
    """A reader sees all that is committed, and the writer can still write."""
    journal = Journal(tmp_path / "j")
    write(journal, part(0, 5))
    reader = Journal(tmp_path / "j", reading=True)
    assert reader.rows() == [(0, DIGEST, range(0, 5), 0)]
    write(journal, part(5, 9))
    assert len(reader.rows()) == 2


@pytest.mark.parametrize("content", [b"not a database, but long enough to be taken for one" * 30, None])
def test_a_file_other_than_a_journal_is_refused(tmp_path: Path, content: bytes | None) -> None:
    """Neither another database nor any other file is written to."""
    file = tmp_path / "j"
    if content is None:
        with sqlite3.connect(file) as database:
            database.execute("PRAGMA user_version = 7")
    else:
        file.write_bytes(content)
    before = file.read_bytes()
    with pytest.raises(StateError, match="journal"):
        Journal(file)
    assert file.read_bytes() == before


def test_an_interrupted_write_leaves_nothing(tmp_path: Path) -> None:
    """An interrupted transaction is rolled back, and the journal can still be written."""
    journal = Journal(tmp_path / "j")
    broken = Part(range(5, 6), {"loss": None})  # pyright: ignore[reportArgumentType]
    with pytest.raises(AttributeError):
        write(journal, part(0, 5), broken)
    assert journal.tiling(0, DIGEST, 10) == []
    write(journal, part(0, 5))
    assert journal.tiling(0, DIGEST, 10) == [range(0, 5)]


PROVENANCE = Provenance(8, None, {"mine": "ab"}, {"numpy": "2"}, {"blas": ["openblas"], "processor": "x"}, "cd")
FACTS: list[tuple[Fact, str, str]] = [
    (Epoch(3), "epoch", "3"),
    (StoredStory(({"stage": 0},)), "story", '[{"stage": 0}]'),
    (JournalName("5f"), "journal", '"5f"'),
    (Created(1.5), "created", "1.5"),
    (Owner("1a2b3c4d"), "sweep", '"1a2b3c4d"'),
    (
        Origin("a", Path("/b/c"), ("seed=2",)),
        "origin",
        '{"name": "a", "folder": "/b/c", "overrides": ["seed=2"]}',
    ),
    (
        PROVENANCE,
        "provenance",
        '{"block": 8, "data": null, "modules": {"mine": "ab"}, "versions": {"numpy": "2"}, '
        '"machine": {"blas": ["openblas"], "processor": "x"}, "witness": "cd"}',
    ),
    (
        Predecessor("a-01234567", ("seed: 0 -> 1",)),
        "predecessor",
        '{"label": "a-01234567", "changes": ["seed: 0 -> 1"]}',
    ),
    (SweepText("seed = 2\n"), "file", '"seed = 2\\n"'),
    (
        StoredResult({"items": 3, "best": None}, {"best.npz": "3 ab", "losses.png": None}),
        "result",
        '{"outcome": {"items": 3, "best": null}, "files": {"best.npz": "3 ab", "losses.png": null}}',
    ),
    (Accepted(1234), "accepted", "1234"),
    (EvaluatingHere(), "here", "true"),
    (RunningNow([[3, 4, 1_700]]), "running", "[[3, 4, 1700]]"),
    (RecordedRun("file:x", "e", "r"), "mlflow", '{"tracking_uri": "file:x", "experiment": "e", "run_id": "r"}'),
    (
        Commands(5, None, 1.5, "stopped"),
        "commands",
        '{"started": 5, "began": null, "seconds": 1.5, "state": "stopped"}',
    ),
    (OpenRun("file:x", "e", True), "open run", '{"uri": "file:x", "experiment": "e", "ended": true}'),
    (
        Outbox(20, "finished", "a", 5, 6, {"seed": "0"}, {"t": "u"}, (["loss", 0.5, 3, 6],), ("b.npz",), (), False),
        "outbox",
        '{"items": 20, "state": "finished", "name": "a", "start": 5, "end": 6, "params": {"seed": "0"}, '
        '"tags": {"t": "u"}, "metrics": [["loss", 0.5, 3, 6]], "files": ["b.npz"], "children": [], "renewed": false}',
    ),
    (StageStarted(1, b"\x01\xff", "gradient", 40), "stage 1", '["01ff", "gradient", 40]'),
]
"""Facts, each with its key and its text in the file."""


@pytest.mark.parametrize(("fact", "key", "text"), FACTS, ids=[key for _, key, _ in FACTS])
def test_facts_are_stored_under_their_keys_as_json(tmp_path: Path, fact: Fact, key: str, text: str) -> None:
    """Keys and texts are those of older journals, and a fact is read as it was stored."""
    journal = Journal(tmp_path / "j", "1a2b3c4d")
    journal.note(StageStarted(0, b"", "search", 1), fact)
    journal.close()
    with sqlite3.connect(tmp_path / "j") as database:
        assert database.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchall() == [(text,)]
    again = Journal(tmp_path / "j", "1a2b3c4d", reading=True)
    if isinstance(fact, SweepFact):
        assert again.fact(type(fact)) == fact
    else:
        assert again.stages()[1] == fact


def test_every_kind_of_fact_is_tested() -> None:
    """The text of a new kind of fact has to be listed here."""
    assert {type(fact) for fact, _, _ in FACTS} == {*SweepFact.__subclasses__(), StageStarted}


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("epoch", '"3"'),
        ("sweep", "7"),
        ("journal", "[]"),
        ("created", "1"),
        ("origin", '{"name": "a", "folder": "b"}'),
        ("origin", '{"name": "a", "folder": "b", "overrides": [1]}'),
        ("provenance", "{}"),
        ("accepted", "true"),
        ("file", "7"),
        ("result", '{"outcome": {}, "files": []}'),
        ("here", "1"),
        ("mlflow", '"r"'),
        ("stage 0", '["xy", "search", 3]'),
        ("stage 0", '["ff", "search"]'),
        ("stage 0", "no JSON"),
    ],
)
def test_a_fact_of_another_form_is_damaged(tmp_path: Path, key: str, text: str) -> None:
    """The message names the file, the record and --fresh, though the row's checksum is right."""
    journal = Journal(tmp_path / "j")
    journal.close()
    with sqlite3.connect(tmp_path / "j") as database:
        database.execute("INSERT OR REPLACE INTO meta VALUES (?, ?, ?)", (key, text, fact_checksum(key, text)))
    with pytest.raises(StateError, match=f"j: the record of '{key}' is damaged.*--fresh"):
        read_facts(tmp_path / "j")


def read_facts(path: Path) -> None:
    """Open a journal and read all facts in it."""
    journal = Journal(path, reading=True)
    for kind in SweepFact.__subclasses__():
        journal.fact(kind)
    journal.stages()


def test_a_fact_is_stored_until_it_is_forgotten(tmp_path: Path) -> None:
    """The later of two facts of a kind is read; None before the first, and after it was forgotten."""
    journal = Journal(tmp_path / "j")
    assert journal.fact(Accepted) is None
    journal.note(Accepted(1), EvaluatingHere())
    journal.note(Accepted(2))
    assert (journal.fact(Accepted), journal.fact(EvaluatingHere)) == (Accepted(2), EvaluatingHere())
    journal.forget(EvaluatingHere)
    assert (journal.fact(Accepted), journal.fact(EvaluatingHere)) == (Accepted(2), None)


def test_a_journal_has_one_name_of_its_own(tmp_path: Path) -> None:
    """The name is given once, when the journal is created, and no two journals share it."""
    names = [Journal(tmp_path / file).name for file in ("j", "j", "k")]
    assert names[0] == names[1] != names[2]


def test_stages_are_listed_in_order(tmp_path: Path) -> None:
    """A stage that is started again, with more items or another method, is listed as it was started last."""
    journal = Journal(tmp_path / "j")
    assert journal.stages() == []
    first, second = StageStarted(0, b"a", "search", 10), StageStarted(1, b"b", "verification", 3)
    for stage in (first, second, replace(first, items=20)):
        journal.begin(stage)
    assert journal.stages() == [replace(first, items=20), second]


def test_a_fenced_writer_stores_no_fact(tmp_path: Path) -> None:
    """A command whose journal another command took over changes no fact."""
    first = Journal(tmp_path / "j")
    second = Journal(tmp_path / "j")
    with pytest.raises(Stopped, match="taken over this sweep"):
        first.note(Accepted(1))
    with pytest.raises(Stopped, match="taken over this sweep"):
        first.forget(JournalName)
    assert second.fact(Accepted) is None
    assert second.name


def test_a_file_damaged_behind_its_header_is_refused(tmp_path: Path) -> None:
    """If nothing can be read, the message names --fresh."""
    small(tmp_path / "j")
    data = bytearray((tmp_path / "j").read_bytes())
    data[4_096:] = b"x" * (len(data) - 4_096)
    (tmp_path / "j").write_bytes(data)
    with pytest.raises(StateError, match="--fresh"):
        Journal(tmp_path / "j", "sweep")


def test_a_full_disk_stops_the_sweep_and_damages_nothing(tmp_path: Path) -> None:
    """Committed parts stay, and the journal can be written again once there is room."""
    journal = Journal(tmp_path / "j")
    write(journal, part(0, 5))
    pages = journal._database.execute("PRAGMA page_count").fetchone()[0]
    journal._database.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(Stopped, match="journal cannot be written") as caught:
        write(journal, Part(range(5, 6), {"loss": np.zeros(50_000)}))
    assert caught.value.signal is None
    journal._database.execute("PRAGMA max_page_count = 100000")
    write(journal, part(5, 9))
    assert journal.tiling(0, DIGEST, 9) == [range(0, 5), range(5, 9)]


def test_a_journal_without_its_end_is_mended(tmp_path: Path) -> None:
    """Every row in the pages that are left is found, though SQLite refuses a file that is too short."""
    parts = [Part(range(n, n + 1), {"loss": np.full(300, float(n))}) for n in range(400)]
    journal = Journal(tmp_path / "j", "sweep")
    write(journal, *parts)
    journal.close()
    data, written = (tmp_path / "j").read_bytes(), {part.items: bits(part) for part in parts}
    (tmp_path / "j").write_bytes(data[:-5_000])
    with pytest.raises(StateError, match="damaged; `optitrip sweep` rebuilds"):
        Journal(tmp_path / "j", "sweep", reading=True)
    for keep, least in ((0.9, 0.8), (0.5, 0.35)):
        assert surviving_rows(tmp_path / "j", data[: int(keep * len(data))], written) > least * len(written)
        (copy,) = tmp_path.glob("j.damaged-1")
        assert copy.read_bytes() == data[: int(keep * len(data))]


def test_the_cut_journal_of_another_sweep_is_left_as_it_is(tmp_path: Path) -> None:
    """It is refused before anything is written."""
    small(tmp_path / "j")
    data = (tmp_path / "j").read_bytes()[:-100]
    (tmp_path / "j").write_bytes(data)
    with pytest.raises(StateError, match="another sweep"):
        Journal(tmp_path / "j", "00000000")
    assert (tmp_path / "j").read_bytes() == data


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER t AFTER INSERT ON meta BEGIN DELETE FROM part; END",
        "CREATE VIEW v AS SELECT * FROM part",
        "CREATE INDEX i ON part (lo)",
    ],
)
def test_what_a_journal_does_not_have_is_damage(tmp_path: Path, statement: str) -> None:
    """A trigger or view is left out before anything is written, and every row is still there."""
    written = small(tmp_path / "j")
    with sqlite3.connect(tmp_path / "j") as database:
        database.execute(statement)
    database.close()
    assert surviving_rows(tmp_path / "j", (tmp_path / "j").read_bytes(), written) == len(written)
    assert (tmp_path / "j.damaged-1").exists()
