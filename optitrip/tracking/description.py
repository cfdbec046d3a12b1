"""The name and the description of an MLflow run: four lines that its page shows at once, and what it unfolds."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from optitrip.config.overrides import told
from optitrip.config.sweep import Sweep
from optitrip.core.failures import Failures, Record
from optitrip.core.observer import Printable, Progress
from optitrip.errors import StateError
from optitrip.journal.facts import Predecessor, Provenance, RecordedRun
from optitrip.output.outcome import Outcome, figure_rows
from optitrip.output.text import first_and_last, one_line, plain, short_name
from optitrip.runtime.background import BackgroundCall
from optitrip.runtime.clock import SYSTEM
from optitrip.store.provenance import digested
from optitrip.store.state_dir import StateDir, best_run, peek_fact
from optitrip.tracking.commands import Command, file_of, repeat, replay, resume, source
from optitrip.tracking.git import GIT_SECONDS, Checkout, checkout_of
from optitrip.tracking.markdown import clipped, code, literal, table
from optitrip.tracking.secrets import redacted, without_password

LINE, VERDICT, NAME, VALUE = 105, 70, 200, 30
"""Most characters of one of the four lines, of the answer in it, of a run's name, and of a value in that."""
LENGTH = 4_900
"""Most characters of a description."""
ROWS, MODULES, RECORDS = 40, 10, 3
"""Most rows of the table, modules, and failures of a kind with their messages."""
RUN_PAGE = "#/experiments/0/runs/{}?workflowType=machine_learning"
"""Address of a run within MLflow's page, which finds it by its id, whatever the experiment."""


def run_name(sweep: Sweep) -> str:
    """Return the sweep's name and what was set beside its file; of one made in Python, the seed."""
    settings = told(sweep.resolved, sweep.overrides, sweep.identity_fields)
    if sweep.lines.path is None and sweep.seed:
        settings["seed"] = str(sweep.seed)
    words = [f"{clipped(key, VALUE)}={clipped(value, VALUE)}" for key, value in settings.items()]
    return clipped(without_password(" · ".join([sweep.name, *words])), NAME)


class Failed:
    """Failures of a sweep that goes on, in bounded memory: their number by kind, and the first that came of each."""

    def __init__(self) -> None:
        self.counts = Counter[str]()
        self.records: dict[str, tuple[Record, ...]] = {}

    def see(self, failures: Failures) -> None:
        self.counts.update(failures.counts())
        self.records = {**failures.records, **self.records}


class Describer:
    """Describes the run of a sweep: what it is, how far it is, and how to go on."""

    def __init__(self, sweep: Sweep, state: StateDir, uri: str, folder: Path) -> None:
        """Ask git, which takes a moment, and the journal, which only this thread may read; `uri` is the location of
        MLflow's store, `folder` the working directory of the command."""
        self._sweep, self._journal, self._path, self._uri, self._folder = sweep, state.journal, state.path, uri, folder
        file = file_of(sweep) or sweep.folder / sweep.name
        self._git = BackgroundCall(lambda: checkout_of(file))
        self._provenance, self._earlier = state.journal.fact(Provenance), state.journal.fact(Predecessor)

    @property
    def checkout(self) -> Checkout | None:
        """Commit in which the sweep is run; None without git, or if it takes too long."""
        with suppress(Exception):
            return self._git.result(GIT_SECONDS)
        return None

    def tags(self) -> dict[str, str]:
        """Return the tags that tell where the sweep comes from."""
        checkout = self.checkout
        tags = {"mlflow.source.name": without_password(one_line(source(self._sweep, checkout)))}
        return tags | (checkout.tags if checkout else {})

    def running(self) -> str:
        """Describe a run that begins, or goes on."""
        sweep, table = self._sweep, self._sweep.space.describe()
        loss = sweep.objective.reference if sweep.program is None else " ".join(sweep.program.command)
        variables = ", ".join(f"{name} {told_briefly(fields)}" for name, fields in table.items())
        return self._text(
            f"**running:** {shown(sweep.spec.describe(sweep))}",
            f"**loss:** {shown(f'{loss} of {variables}')}",
            self._difference() or "It is the first sweep of this name here.",
            resume(sweep, self._path, self._folder),
            failures=(),
        )

    def so_far(self, progress: Progress, failed: Failed) -> str:
        """Describe a run that goes on."""
        sweep = self._sweep
        when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(SYSTEM.wall_ms() / 1000))
        return self._text(
            *self._until_now("running", progress.done, failed.counts.total(), progress.best()),
            f"**{sweep.items - progress.done:,} were left** on {when}",
            resume(sweep, self._path, self._folder),
            [literal(sweep.spec.describe(sweep))],
            [self._difference()],
            failures=failure_lines(sweep.spec.word, failed.counts, failed.records),
        )

    def ended(self, outcome: Outcome) -> str:
        """Describe a run that has ended, with or without an answer."""
        answer = outcome.answer
        failed = f"{outcome.failed:,} failed" if outcome.failed else "none failed"
        if answer is not None:
            figures = [f"{name} {value}" for name, value in figure_rows(answer.report)]
            reasons = answer.how_sure() or ["nothing is known about that"]
            ended = f"\n{outcome.message or ''}".split("\n\n")[0].strip()  # the first failure follows, if there is one
            return self._text(
                f"**{shown(answer.verdict(), VERDICT)}** of {outcome.items:,} {outcome.unit}, {failed}",
                f"**parameters:** {shown('; '.join(filter(None, [answer.parameters(), ', '.join(figures)])))}",
                f"**how sure:** {shown(first_that_fit(reasons))}",
                repeat(self._sweep, self.checkout, self._folder),
                [literal(f"{'; '.join(reasons)}.")] if first_that_fit(reasons) != "; ".join(reasons) else [],
                [literal(ended)],
                [literal(answer.how_to_read)],
                table(["", ""], [[literal(short_name(name)), literal(text)] for name, text in answer.rows()[:ROWS]]),
                []
                if (below := answer.table()) is None
                else table(below[0], [[*map(literal, row)] for row in below[1]]),
                [self._best_run()],
                [self._difference()],
                outcome=outcome,
            )
        first, *rest = plain(outcome.message or outcome.status).strip().split("\n")
        first = first.partition(f": {outcome.items:,} of ")[0]  # that is told already
        left = self._sweep.items - outcome.items
        return self._text(
            *self._until_now(outcome.status, outcome.items, outcome.failed, outcome.best),
            f"**{f'{left:,} are left' if left else 'why'}:** {shown(first)}",
            resume(self._sweep, self._path, self._folder),
            [literal(first)] if len(first) > LINE else [],
            [f"    {line}" for line in rest],
            [self._difference()],
            outcome=outcome,
        )

    def _until_now(self, state: str, done: int, failed: int, best: Printable | None) -> tuple[str, str]:
        """Return two lines: how far a sweep is, and its best so far; the second is empty if there is none."""
        sweep = self._sweep
        told = f"**{state}:** {done:,} of {sweep.items:,} {sweep.unit}, {f'{failed:,}' if failed else 'none'} failed; "
        if best is None:
            return f"{told}no answer{' yet' * (state == 'running')}", ""
        return f"{told}**{shown(best.verdict(), VERDICT)}** so far", f"**best so far:** {shown(best.parameters())}"

    def _text(
        self,
        first: str,
        second: str,
        third: str,
        command: Command,
        *blocks: list[str],
        outcome: Outcome | None = None,
        failures: Iterable[str] | None = None,
    ) -> str:
        """Return the four lines, blocks of others, what the sweep needs, and what went wrong and was used so far: by
        default the failures in the journal."""
        fourth = f"**{command.word}:** {code(command.line) if command.line else literal(command.where)}"
        lines = ["  \n".join(filter(None, [first, second, third, fourth]))]
        where = [f"The command works {literal(command.where)}."] if command.line else []
        went_wrong = [*(self._failures() if failures is None else failures)]
        for block in (*blocks, where, self._needs(), went_wrong, *(used(outcome) if outcome else ())):
            lines += ["", *filter(None, block)] if any(block) else []
        text = "\n".join(redacted(line, self._uri) for line in lines)
        return text if len(text) <= LENGTH else text[: text.rindex("\n", 0, LENGTH)] + "\n\n(more was cut off)"

    def _difference(self) -> str:
        """Say how the sweep differs from the one before it, with a link to that one's run; empty if it is the first."""
        earlier, path = self._earlier, self._path
        if earlier is None or path is None:
            return ""
        run, name = peek_fact(path.parent / earlier.label, RecordedRun), literal(earlier.label)
        linked = (
            f"[{name}]({RUN_PAGE.format(run.run_id)})"
            if run and without_password(run.tracking_uri) == without_password(self._uri)
            else name
        )
        changes = "; ".join(earlier.changes).replace(" -> ", " → ")
        return f"It differs from {linked} in {literal(clipped(changes, 1_000))}."

    def _best_run(self) -> str:
        """Say where the files of a program's best run are; empty if they are not kept."""
        found = best_run(self._path) if self._path is not None and self._sweep.program is not None else None
        return literal(f"The files of the best run are in {found}.") if found is not None else ""

    def _needs(self) -> list[str]:
        """Say what the same answer needs beside the sweep file."""
        sweep, known = self._sweep, self._provenance
        needs: list[str] = []
        start = sweep.spec.start(sweep.method)
        if start is not None and start.best_of:
            needs.append(f"the best point of the finished sweep {start.best_of}")
        if start is not None and start.file:
            needs.append(f"the file {start.file}")
        if known is not None:
            named = sweep.objective.reference.partition(":")[0]
            names = sorted(known.modules, key=lambda name: name != named)  # the loss's own module comes first
            modules = [f"{name} (BLAKE2b {known.modules[name]})" for name in names]
            needs += [f"the module {text}" for text in modules[:MODULES]]
            needs += [f"and {len(modules) - MODULES:,} more modules"] if len(modules) > MODULES else []
            needs += [f"{digested(sweep)} with the digest {known.data}"] if known.data else []
            needs.append(", ".join(f"{name} {version}" for name, version in known.versions.items()))
        return [f"The same answer needs {literal('; '.join(needs))}."] if needs else []

    def _failures(self) -> Iterator[str]:
        """Yield the failures of each kind, with the messages of the first, and how to see them again."""
        with suppress(StateError):  # a journal that cannot be read may be why the sweep ended
            stages = self._journal.stages()
            for stage in stages:
                failures = self._journal.failures(stage.number, stage.digest, stage.items)
                yield from failure_lines(stage.kind, failures.counts(), failures.records)
                first = failures.first()
                if first is not None and stage.kind == self._sweep.spec.word and self._path is not None:
                    yield f"- to see it again: {code(replay(self._sweep, first[1].index, self._path, self._folder))}"


def shown(text: str, length: int = LINE) -> str:
    """Return the beginning of a text, literally."""
    return literal(clipped(text, length))


def first_that_fit(reasons: list[str]) -> str:
    """Return the first reasons that fit in a line, at least one."""
    line, *others = reasons
    for other in others:
        if len(line) + len(other) > LINE - 2:
            break
        line += f"; {other}"
    return line


def told_briefly(fields: object) -> str:
    return str(fields).strip("{}").replace("'", "")


def failure_lines(stage: str, counts: Mapping[str, int], records: Mapping[str, Sequence[Record]]) -> Iterator[str]:
    """Yield a line for each kind of failure, and one for each of its first distinct messages."""
    for kind, count in sorted(counts.items()):
        yield f"- **{literal(stage)}: {count:,} {literal(kind)}**"
        messages = {f"{record.type}: {record.message}": record.index for record in reversed(records.get(kind, ()))}
        firsts = sorted((index, message) for message, index in messages.items())[:RECORDS]
        for index, message in firsts:
            first, *rest = first_and_last(message)
            yield "  \n    ".join([f"  - item {index:,}: {shown(first, 300)}", *(shown(line, 150) for line in rest)])


def used(outcome: Outcome) -> list[list[str]]:
    """Return the warnings of a run, and the time and memory that it took."""
    warnings = [f"- {literal(notice.text)}" for notice in outcome.notices if notice.level == "warning"]
    phases = ", ".join(f"{phase} {seconds:.1f}" for phase, seconds in outcome.phases.items() if seconds >= 0.05)
    peaks = [
        f"{name.partition('_')[0]} {peak / 1e6:,.0f} MB" for name, peak in outcome.memory.items() if peak is not None
    ]
    rate = [] if outcome.items_per_second is None else [f"{outcome.items_per_second:,.0f} {outcome.unit} a second"]
    total = [f"{outcome.total_seconds:.1f} s in all"] if outcome.total_seconds else []
    last = f"{outcome.seconds:.1f} s in the last command" + (f" ({phases})" if phases else "")
    return [["**Warnings:**", "", *warnings] if warnings else [], [literal("; ".join([*total, last, *peaks, *rate]))]]
