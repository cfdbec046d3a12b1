"""Shows pictures among the charts of an MLflow run, where they stand beside those of the runs it is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow import MlflowClient


SECTION = "answer"
"""Section of the charts with the pictures, which is the first by its name."""


def log_images(client: MlflowClient, run_id: str, files: Sequence[str], step: int, time: int) -> None:
    """Log PNG files as images by their names; a picture of a later step or time is shown in place of an earlier one.

    Those of this step and time that the run has are left alone: MLflow would store them once more.
    """
    from PIL import Image

    pictures = [file for file in map(Path, files) if file.suffix == ".png"]
    there = [found.path for found in client.list_artifacts(run_id, "images")] if pictures else []
    for file in pictures:
        key = f"{SECTION}/{file.stem}"
        name = f"images/{key.replace('/', '~')}+step+{step}+timestamp+{time}+"  # as MLflow makes it
        if not any(path.startswith(name) for path in there):
            with Image.open(file) as image:
                client.log_image(run_id, image.convert("RGB"), key=key, step=step, timestamp=time)
