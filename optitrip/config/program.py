"""The table [program] of a sweep file, in place of [objective]: a program whose output has the loss."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePath
from typing import Annotated, Any, Literal

from pydantic import Field

from optitrip.core.differences import nearest
from optitrip.core.table import Deterministic, Table, one_of
from optitrip.errors import Invalid
from optitrip.loss.noisy import SEED
from optitrip.loss.program.fill import beside, names_in_template, names_in_word
from optitrip.loss.program.folders import BEST, FAILED, OTHERS
from optitrip.loss.program.read import check_source
from optitrip.space.variables import Space

PROGRAM = "optitrip.loss.program.program:Program"
"""Reference of the loss that runs a program."""
PLACES = ("here",)
"""Names in a command beside the parameters and the seed: the sweep file's folder."""
SCRIPTS = (".py", ".sh", ".r", ".jl", ".m", ".pl", ".rb", ".js", ".lua", ".ps1", ".bat")
"""Endings of files that are no output of a program."""
Text = Annotated[str, Field(min_length=1)]
Source = Annotated[
    dict[str, Any], one_of("a table, e.g. { json = 'rms', file = 'out.json' } or { regex = 'rms = (\\S+)' }")
]


class ProgramTable(Table):
    """A program that computes the loss."""

    command: Annotated[list[Text], Field(min_length=1)]
    """Program and arguments; {name} stands for a parameter."""
    loss: Source = Field(default_factory=dict)
    """Place of the loss, e.g. { json = "rms", file = "out.json" }; the last number that it prints by default."""
    outputs: dict[Text, Source] = Field(default_factory=dict)
    """Places of other numbers, by name."""
    templates: list[Text] = Field(default_factory=list)
    """Files beside the sweep file in which @name@ is replaced by the parameter."""
    parameters: Annotated[str, Field(pattern=r"^[^/\\]+\.(json|toml)$")] | None = None
    """Name of a file that all parameters are written to."""
    environment: dict[Text, str] = Field(default_factory=dict)
    """Variables of its environment; {name} stands for a parameter."""
    copy_files: list[Text] = Field(default_factory=list, alias="copy")
    """Files and folders beside the sweep file to copy into the folder of a run."""
    link: list[Text] = Field(default_factory=list)
    """Files and folders beside the sweep file to link to."""
    keep: Annotated[
        Literal["none", "all", "failed", "best"] | list[Literal["failed", "best"]],
        one_of("'all', 'none', 'failed', 'best' or ['best', 'failed']"),
    ] = "failed"
    """Folders of runs that are kept; the best is moved to the files of the answer."""
    folders: Text = "runs"
    """Folder for them, in the working directory."""
    arrays: dict[Text, Annotated[str, Field(pattern=r"^[^/\\]+\.(npy|txt|csv)$")]] = Field(default_factory=dict)
    """Names of files that arrays are written to, by parameter."""
    shell: bool = False
    """True to have a shell run the words of the command, joined by spaces."""
    retries: Annotated[int, Field(ge=0, le=100)] | None = None
    """Number of times a failed run is retried, in place of [failures] retries."""
    here: Text | None = None
    """Folder in place of that of the sweep file, if it exists; stored sweeps have that of the file they were read
    from."""
    threads: Annotated[int, Field(ge=1)] = 1
    """Number of threads that its libraries are told to use."""
    timeout_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Seconds after which it is ended, and counts as failed."""
    maximize: bool = False
    """True if larger is better."""
    deterministic: Deterministic = True
    """False if its loss is random on purpose; a relative difference if it is a little noisy."""
    repeats: Annotated[int, Field(ge=1, le=10_000)] = 1
    """Number of runs of each point, of which the loss is the mean."""

    def place(self, folder: Path) -> Path:
        """Return the folder where files are looked for, given that of the sweep file."""
        return Path(self.here) if self.here is not None and Path(self.here).is_dir() else folder

    @property
    def kinds(self) -> list[str]:
        """Kinds of runs whose folders are kept."""
        if isinstance(self.keep, list):
            return list(self.keep)
        return {"none": [], "all": [FAILED, BEST, OTHERS]}.get(self.keep, [self.keep])

    @property
    def arguments(self) -> dict[str, Any]:
        """Everything that decides the loss of a point."""
        decides = {"command", "loss", "outputs", "templates", "parameters", "environment", "copy_files", "link"}
        decides |= {"arrays", "shell"}
        given = self.model_dump(include=decides, exclude_defaults=True, by_alias=True)
        return {**given, "threads": self.threads}

    def objective(self, folder: Path) -> dict[str, Any]:
        """Return the table [objective] that stands for it, given the folder of the sweep file."""
        named = [*beside(self.command), *self.templates, *self.copy_files, *self.link]
        files = [name for name in named if (self.place(folder) / name).is_file()]
        flags = {"maximize": self.maximize, "deterministic": self.deterministic, "repeats": self.repeats}
        return {"loss": PROGRAM, "arguments": self.arguments, "files": files, **flags}


def check_files(program: ProgramTable, space: Space, passed: Sequence[str], folder: Path) -> None:
    """Raise Invalid, with the path of the key, for files that are missing, or templates that have no parameter of the
    space, or `passed` beside them, or one that does not always exist."""
    for key, files in {"templates": program.templates, "copy": program.copy_files, "link": program.link}.items():
        for name in files:
            if not (folder / name).exists():
                raise Invalid(("program", key), f"names {name!r}, and there is no {folder / name}")
    for name in scripts_out_of_reach(program, folder):
        raise Invalid(
            ("program", "command"),
            f"names {name}, which is in the folder of the sweep file, but each run has a folder of its own; write "
            f"'{{here}}/{name}', or copy = ['{name}']",
        )
    names, absent = [*space.names, *passed], {variable.name for variable in space.conditional}
    for name in program.templates:
        found = names_in_template((folder / name).read_text("utf-8", "replace"))
        if found & absent:
            wanted = "write it by parameters, or as a word of the command, which is left out where it does not exist"
            raise Invalid(("program", "templates"), f"{name} has {min(found & absent)}, which has a `when`; {wanted}")
        if not found & set(names):
            raise Invalid(("program", "templates"), f"{name} has none of the parameters, e.g. @{names[0]}@")


def scripts_out_of_reach(program: ProgramTable, folder: Path) -> Iterator[str]:
    """Yield the scripts in the folder of the sweep file that a command names, as if it ran there. Other files are left
    alone: they may be what an earlier run has written."""
    words = program.command[1:]
    if program.shell:
        with suppress(ValueError):  # quotes that are not closed: the shell tells it
            words = shlex.split(" ".join(program.command))
    brought = {PurePath(name).name for name in (*program.templates, *program.copy_files, *program.link)}
    for word in map(PurePath, words):
        near = not word.is_absolute() and word.suffix.lower() in SCRIPTS and word.parts[0] not in brought
        if near and (folder / word).is_file():
            yield str(word)


def check_program(program: ProgramTable, space: Space, passed: Sequence[str] = ()) -> None:
    """Raise Invalid, with the path of the key, for names of no parameter of the space, or `passed` beside them, or for
    sources of no number."""
    names = space.names
    shaped = {variable.name for variable in space.variables if variable.shape}
    words = {("command",): program.command, ("environment",): list(program.environment.values())}
    for key, texts in words.items():
        for text in texts:
            check_word(("program", *key), text, [*names, *PLACES, SEED, *passed], shaped)
    for name, file in program.arrays.items():
        if name not in names:
            raise Invalid(("program", "arrays"), f"has {name}; {nearest(name, names)}")
        axes = next(len(variable.shape) for variable in space.variables if variable.name == name)
        if axes > 2 and not file.endswith(".npy"):
            raise Invalid(("program", "arrays"), f"{name} has {axes} axes, more than a text has; wanted a .npy file")
    sources = {("loss",): program.loss, **{("outputs", name): source for name, source in program.outputs.items()}}
    for key, source in sources.items():
        try:
            check_source(source)
        except ValueError as error:
            raise Invalid(("program", *key), str(error)) from None


def check_word(key: tuple[str, ...], text: str, known: list[str], shaped: set[str]) -> None:
    """Raise Invalid for a word with a name that is none of those known, or is an array."""
    try:
        found = list(names_in_word(text))
    except ValueError as error:
        raise Invalid(key, str(error)) from None
    for name in found:
        if name not in known:
            raise Invalid(key, f"has {{{name}}}; {nearest(name, known)}")
        if name in shaped:
            raise Invalid(
                key,
                f"has {{{name}}}, an array; write it by arrays = {{ {name} = '{name}.npy' }}, a template or parameters",
            )


def as_written(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a sweep's identity with a program by the keys of its table, as the sweep file has them."""
    objective = fields.get("objective")
    if not isinstance(objective, Mapping) or objective.get("loss") != PROGRAM:
        return dict(fields)
    own: dict[str, Any] = {**objective, **objective.get("arguments", {})}  # a source named loss is in place of PROGRAM
    hidden = {"arguments"} if "loss" in objective.get("arguments", {}) else {"arguments", "loss"}
    program = {key: value for key, value in own.items() if key not in hidden}
    renamed = {**fields, "objective": program}
    return {"program" if key == "objective" else key: value for key, value in renamed.items()}


def name_of_loss(arguments: Mapping[str, Any]) -> str:
    """Return what the loss of a program with these arguments is called: the key in its JSON, if it has one."""
    return str(arguments.get("loss", {}).get("json", "loss"))
