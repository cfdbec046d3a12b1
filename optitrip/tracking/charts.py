"""Shows pictures among the charts of an MLflow run, where they stand beside those of the runs it is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow import MlflowClient


SECTION = "answer"
"""Section of the charts with the pictures, which is the first by its name."""


def log_images(client: MlflowClient, run_id: str, files: Sequence[str], step: int) -> None:
    """Log PNG files as images by their names; a picture of a later step is shown in place of an earlier one."""
    from PIL import Image

    for file in map(Path, files):
        if file.suffix == ".png":
            with Image.open(file) as image:
                client.log_image(run_id, image.convert("RGB"), key=f"{SECTION}/{file.stem}", step=step)
