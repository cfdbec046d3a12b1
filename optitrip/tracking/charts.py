"""Shows pictures among the charts of an MLflow run, where they stand beside those of the runs it is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from PIL.Image import Image


SECTION = "answer"
"""Section of the charts with the pictures, which is the first by its name."""


def log_images(client: MlflowClient, run_id: str, files: Sequence[str], step: int, time: int) -> None:
    """Log PNG files as images by their names; a picture of a later step or time is shown in place of an earlier one.

    Those of this step and time that the run has are left alone: MLflow would store them once more.
    """
    import PIL.Image

    pictures = [file for file in map(Path, files) if file.suffix == ".png"]
    there = [found.path for found in client.list_artifacts(run_id, "images")] if pictures else []
    for file in pictures:
        key = f"{SECTION}/{file.stem}"
        name = f"images/{key.replace('/', '~')}+step+{step}+timestamp+{time}+"  # as MLflow makes it
        if not any(path.startswith(name) for path in there):
            with PIL.Image.open(file) as image:
                client.log_image(run_id, squared(image.convert("RGB")), key=key, step=step, timestamp=time)


def squared(image: Image) -> Image:
    """Return a wide image with white below it: MLflow centres images in squares, and cuts off the lower part of these
    in its charts."""
    from PIL import ImageOps

    size = (image.width, max(image.width, image.height))
    return ImageOps.pad(image, size, color="white", centering=(0, 0))
