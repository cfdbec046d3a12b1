"""Tables of what is stored for a sweep, also of one that was stopped; the loss is not imported."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from optitrip.config.sweep import Sweep
from optitrip.core.arrays import Column
from optitrip.core.failures import NO_STEP
from optitrip.core.method import Method, merged
from optitrip.core.part import Part
from optitrip.errors import InputError
from optitrip.journal.facts import StageStarted
from optitrip.journal.journal import Journal
from optitrip.output.tables import csv_bytes, parquet_bytes
from optitrip.runtime import files
from optitrip.runtime.imports import import_paths
from optitrip.runtime.shadowing import use_import_paths
from optitrip.store.state_dir import open_journal

WRITERS = {".csv": csv_bytes, ".parquet": parquet_bytes}


def stored_table(sweep: Sweep, folder: Path, best: int | None = None) -> dict[str, Column]:
    """Return columns by name: of all stored items, or of the best. Raises InputError if nothing is stored yet."""
    if sweep.spec.references(sweep.method):
        use_import_paths(import_paths(sweep.folder))
    with open_journal(folder) as journal:
        columns = sweep.spec.stored_table(sweep, StoredStages(journal).parts, best)
    if not columns:
        if files_instead := sweep.spec.instead_of_table:
            text = f"a {sweep.spec.word} has no table of items; once it is finished, {files_instead} will do"
            raise InputError(f"{text}, in {folder}")
        raise InputError(f"no {sweep.unit} are stored for {sweep.label} yet; `optitrip sweep` evaluates them")
    if best and not len(next(iter(columns.values())).tolist()):
        raise InputError(f"all {sweep.unit} stored for {sweep.label} failed; `optitrip show --failures` lists them")
    return columns


def write_table(columns: dict[str, Column], file: Path) -> None:
    """Write columns as CSV or Parquet, by the suffix of the file."""
    check_file(file)
    try:
        # What a link points to is written, as by any other command; the link would be set aside. The file is the
        # user's own, so it has the mode that the umask says.
        files.write_atomically(file.resolve(), WRITERS[file.suffix.lower()](columns), 0o666)
    except (OSError, RuntimeError) as error:  # the latter for a loop of links
        raise InputError(f"{file}: cannot be written: {getattr(error, 'strerror', None) or error}") from None


def check_file(file: Path) -> None:
    if file.suffix.lower() not in WRITERS:
        raise InputError(f"the table's file was {str(file)!r}; wanted a name that ends with {' or '.join(WRITERS)}")
    if file.is_dir():
        raise InputError(f"{file}: is a folder; wanted a file in it, or another name")


class StoredStages:
    """The stages in a journal."""

    def __init__(self, journal: Journal) -> None:
        self._journal, self._stages = journal, journal.stages()

    def parts(self, method: Method, kind: str = "") -> list[Part]:
        """Return the stored parts of a stage, adjacent ones merged, with the outcomes of the latest attempts.

        The stage is the one with the method's digest, or else, with `kind`, the main one of this kind: the digest may
        depend on what only the loss knows. Items beyond an early end are left out.
        """
        digest = method.digest()
        if method.joins or method.only_stored:  # the journal lists only the last of the stages that share a number
            found = [replace(stage, digest=digest) for stage in self._stages]
            found = [stage for stage in found if self._journal.tiling(stage.number, digest, method.items)]
        else:
            found = [stage for stage in self._stages if stage.digest == digest or stage.kind == kind]
        if not found:
            return []
        stage, rule, items = found[-1], method.stop_rule(), method.items + 1
        stretches: list[Part] = []
        while rule.items < items:
            items, stretches = rule.items, []
            tiles = self._journal.tiling(stage.number, stage.digest, items)
            for adjacent in grouped(tiles):
                parts = [part for part, _ in self._journal.parts(stage.number, stage.digest, adjacent)]
                whole = self._retried(stage, method, merged(parts, method.merge))
                rule.see(whole)
                stretches.append(whole)
        return stretches

    def _retried(self, stage: StageStarted, method: Method, whole: Part) -> Part:
        """Return a part with the outcomes of later attempts in place of the failures that they retried."""
        attempt = 0
        while method.retried:
            attempt += 1
            runs = sorted(run for kind, of in whole.failures.runs.items() if kind != NO_STEP for run in of)
            tilings = (self._journal.tiling(stage.number, stage.digest, hi, lo, attempt) for lo, hi in runs)
            tiles = [tile for tiling in tilings for tile in tiling]
            if not tiles:
                break
            retried = [part for part, _ in self._journal.parts(stage.number, stage.digest, tiles, attempt)]
            whole = method.replaced(whole, retried)
        return whole


def grouped(tiles: Sequence[range]) -> list[list[range]]:
    """Group ascending ranges by gaps."""
    groups: list[list[range]] = []
    for tile in tiles:
        if groups and groups[-1][-1].stop == tile.start:
            groups[-1].append(tile)
        else:
            groups.append([tile])
    return groups
