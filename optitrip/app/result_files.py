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


def make_answer(context: Context, result: Any) -> Answer:
    """Return the answer, with pictures of its parameters or gradient if the objective can draw them."""
    answer = context.sweep.spec.answer(context.sweep, result)
    try:
        return answer.with_images(context.objective.images(answer.shown))
    except Exception as error:  # raised by the user's code; a sweep does not fail for want of a picture
        text = f"the objective could not draw its parameters: {type(error).__name__}: {error}"
        context.observers.notice(warning("no-picture", text))
        return answer


@contextmanager
def result_folder(context: Context, state_dir: Path | None, *, tracked: bool) -> Generator[Path | None]:
    """Return the folder for files: the state directory, or a temporary one if only MLflow needs files."""
    if state_dir is not None or not tracked:
        yield state_dir
        return
    with tempfile.TemporaryDirectory(prefix="optitrip-") as folder:
        files.write_atomically(Path(folder) / SWEEP_FILE, context.sweep.text.encode())
        yield Path(folder)


def write_files(folder: Path, name: str, answer: Answer, observer: Observer, *, unchanged: bool) -> Sequence[Path]:
    """Write the files of an answer; return the paths of all that exist.

    Args:
        folder: where to write them; it holds the sweep file already.
        name: name of the sweep.
        answer: the answer.
        observer: receives a notice of each picture that could not be drawn.
        unchanged: True if nothing was evaluated since the last run, so that existing files may still be valid.

    Raises:
        OSError: if they cannot be written.
    """
    contents = dict(answer.files(name))
    paths = [folder / SWEEP_FILE, *(folder / file for file in contents)]
    if unchanged and stored_items(folder) == answer.items:
        return [path for path in paths if path.exists()]
    # The result file vouches for the files beside it, so it is removed first and written last.
    (folder / RESULT).unlink(missing_ok=True)
    for file, make in contents.items():
        try:
            data = make()
        except Exception as error:  # e.g. losses of 1e308; a sweep does not fail for want of a picture
            if not file.endswith(".png"):
                raise
            observer.notice(warning("no-picture", f"the picture {file} could not be drawn: {error}"))
            (folder / file).unlink(missing_ok=True)
        else:
            files.write_atomically(folder / file, data)
    return [path for path in paths if path.exists()]
