"""The answer of a run and its files."""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from optitrip.app.context import Context
from optitrip.core.notice import warning
from optitrip.core.observer import Observer
from optitrip.output.answer import Answer
from optitrip.runtime import files
from optitrip.store.state_dir import RESULT, SWEEP_FILE, stored_items


def make_answer(context: Context, found: Any) -> Answer:
    """Return the answer, with pictures of its parameters or of its gradient if the objective can show them."""
    answer = context.sweep.spec.answer(context.sweep, found)
    try:
        return answer.with_images(context.objective.images(answer.image_source))
    except Exception as error:  # the user's own, and a picture is not what the sweep is for
        text = f"the objective could not picture its parameters: {type(error).__name__}: {error}"
        context.observers.notice(warning("no-picture", text))
        return answer


@contextmanager
def folder_of_files(context: Context, path: Path | None, *, tracked: bool) -> Generator[Path | None]:
    """Give the folder for files: the state directory; without one, a folder for a moment if MLflow wants them."""
    if path is not None or not tracked:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="optitrip-") as folder:
        files.write_atomically(Path(folder) / SWEEP_FILE, context.sweep.text.encode())
        yield Path(folder)


def write_files(folder: Path, name: str, answer: Answer, observer: Observer, *, unchanged: bool) -> Sequence[Path]:
    """Write the files of the answer of a sweep of this name; return all that are there.

    Args:
        folder: where they go; the sweep file is there already.
        name: the name of the sweep.
        answer: the answer.
        observer: hears of pictures that could not be drawn.
        unchanged: whether nothing was evaluated since files were written, so that those that fit are kept.

    Raises:
        OSError: if they cannot be written.
    """
    contents = dict(answer.files(name))
    places = [folder / SWEEP_FILE, *(folder / file for file in contents)]
    if unchanged and stored_items(folder) == answer.items:
        return [path for path in places if path.exists()]
    # The result file says that those beside it are of its sweep, so it goes first and comes back last.
    (folder / RESULT).unlink(missing_ok=True)
    for file, make in contents.items():
        try:
            data = make()
        except Exception as error:  # e.g. losses of 1e308; a picture is not what the sweep is for
            if not file.endswith(".png"):
                raise
            observer.notice(warning("no-picture", f"no picture {file} could be drawn: {error}"))
            (folder / file).unlink(missing_ok=True)
        else:
            files.write_atomically(folder / file, data)
    return [path for path in places if path.exists()]
