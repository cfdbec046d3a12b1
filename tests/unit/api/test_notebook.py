"""optitrip in a notebook: a fresh kernel, cells as a person would write them, and what they show."""

from __future__ import annotations

import base64
import contextlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat.v4 import new_code_cell, new_notebook

pytestmark = pytest.mark.daily

LOSS = "lambda x, y: (x - 1) ** 2 + (y + 2) ** 2"
CELLS = {
    "import": "import optitrip\nimport numpy as np",
    "search": f'found = optitrip.search({LOSS}, {{"x": {{"normal": [0, 3]}}, "y": {{"uniform": [-5, 5]}}}}, '
    "candidates=2_000)",
    "found": "found",
    "gradient": f"there = optitrip.gradient({LOSS}, found.x)",
    "there": "there",
    "array": "optitrip.gradient(lambda w: (w ** 2).sum(), np.arange(6.0).reshape(2, 3))",
    "numbers": "print(found.loss, found.index, found.x['x'], found.x['y'], there.gradient['x'], there.gradient['y'])",
    "checks": "assert found.loss == found.losses.min() == (found.x['x'] - 1) ** 2 + (found.x['y'] + 2) ** 2\n"
    "assert there.loss == found.loss\nassert there.x == found.x\n"
    "for name, wanted in (('x', 2 * (found.x['x'] - 1)), ('y', 2 * (found.x['y'] + 2))):\n"
    "    np.testing.assert_allclose(there.gradient[name], wanted, atol=1e-6)",
    "its own function": "calls = []\ndef loss(x):\n    return helper(x) + 1\ndef helper(x):\n    return x * x\n"
    "with optitrip.Session(executor='serial') as session:\n"
    "    print(session.gradient(loss, 3).loss, session.search(loss, {'x': {'uniform': [2, 2.5]}}, candidates=9).items)",
    "refused": "try:\n    optitrip.search(loss, {'x': {'normal': [0, 1]}}, candidates=9, state_dir='kept')\n"
    "except optitrip.InputError as error:\n    print(error)",
    "slow": "import time\ndef slow(x):\n    time.sleep(0.05)\n    return x * x\n"
    "late = optitrip.search(slow, {'x': {'normal': [0, 1]}}, candidates=40, executor='serial')",
    "failing": "def failing(x):\n    if x > 0:\n        raise ValueError('x is ' + 'much ' * 30)\n"
    "    return x if x > -1 else float('nan')\n"
    "optitrip.search(failing, {'x': {'normal': [0, 1]}}, candidates=200, executor='serial')",
    "mistake": "optitrip.search(loss, {'x': {'norml': [0, 1]}}, candidates=9)",
}


class Manager(AsyncKernelManager):
    """Starts kernels of this interpreter, whatever kernels are installed."""

    @property
    def kernel_spec(self) -> Any:
        from jupyter_client.kernelspec import KernelSpec

        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=argv, display_name="this Python", language="python")


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, list[Any]]]:
    """Outputs by cell, and under "folder" the files in the working directory afterwards."""
    folder = tmp_path_factory.mktemp("notebook")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "IPYTHONDIR"):
            patch.setenv(name, str(tmp_path_factory.mktemp(name.lower())))
        patch.setenv("JUPYTER_PLATFORM_DIRS", "1")
        cells = [new_code_cell(source, id=name.replace(" ", "-")) for name, source in CELLS.items()]
        notebook = new_notebook(cells=cells)
        client = NotebookClient(
            notebook, timeout=120, kernel_manager_class=Manager, resources={"metadata": {"path": str(folder)}}
        )
        with contextlib.suppress(CellExecutionError):  # of the last cell; one of an earlier cell shows in the outputs
            client.execute()
        shown = {name: list(cell.outputs) for name, cell in zip(CELLS, notebook.cells, strict=True)}
        yield {**shown, "folder": sorted(path.name for path in Path(folder).iterdir())}


def printed(outputs: list[Any]) -> str:
    """Return what a cell printed; it must do nothing else."""
    assert [output.output_type for output in outputs] == ["stream"], outputs
    assert outputs[0].name == "stdout"
    return outputs[0].text


def displayed(outputs: list[Any]) -> tuple[str, list[bytes], str]:
    """The text in the HTML that a cell showed, its pictures, and the plain text beside it."""
    assert [output.output_type for output in outputs] == ["execute_result"], outputs
    html = outputs[0].data["text/html"]
    text = re.search(r"<pre [^>]*>(.*?)</pre>", html, re.DOTALL)
    assert text is not None
    pictures = re.findall(r'<img src="data:image/png;base64,([^"]+)">', html)
    return text[1], [base64.b64decode(one) for one in pictures], outputs[0].data["text/plain"]


@pytest.mark.parametrize("cell", ["import", "search", "gradient", "checks"])
def test_cells_without_a_value_show_nothing(outputs: dict[str, list[Any]], cell: str) -> None:
    """No error, no warning, no progress."""
    assert outputs[cell] == []


def numbers(outputs: dict[str, list[Any]]) -> list[float]:
    return [float(number) for number in printed(outputs["numbers"]).split()]


def test_a_search_shows_itself(outputs: dict[str, list[Any]]) -> None:
    """Its numbers in words and the picture of its losses."""
    loss, index, x, y, _, _ = numbers(outputs)
    text, pictures, plain = displayed(outputs["found"])
    assert text == plain
    assert max(map(len, plain.splitlines())) <= 79
    plain = plain.replace("\n    ", " ")
    found = re.fullmatch(r"SearchAnswer\(loss=(\S+), x=\{x=(\S+), y=(\S+)\}, candidate ([\d,]+) of 2,000\)", plain)
    assert found is not None, plain
    assert float(found[1]) == pytest.approx(loss, rel=1e-7)
    assert (float(found[2]), float(found[3])) == (x, y)
    assert int(found[4].replace(",", "")) == index
    assert loss == (x - 1) ** 2 + (y + 2) ** 2
    assert loss < 0.1
    assert [one[:8] for one in pictures] == [b"\x89PNG\r\n\x1a\n"]


def test_a_gradient_shows_itself(outputs: dict[str, list[Any]]) -> None:
    """Its largest coordinates, which are 2(x - 1) and 2(y + 2), and their picture."""
    loss, _, x, y, dx, dy = numbers(outputs)
    assert dx == pytest.approx(2 * (x - 1), abs=1e-6)
    assert dy == pytest.approx(2 * (y + 2), abs=1e-6)
    text, pictures, plain = displayed(outputs["there"])
    assert text == plain
    plain = plain.replace("\n    ", " ")
    found = re.fullmatch(
        r"GradientAnswer\(loss=(\S+), norm=(\S+), largest: (\w) (\S+), (\w) (\S+), largest error \S+\)", plain
    )
    assert found is not None, plain
    assert float(found[1]) == pytest.approx(loss, rel=1e-7)
    assert float(found[2]) == pytest.approx((dx**2 + dy**2) ** 0.5, rel=1e-7)
    assert {found[3]: float(found[4]), found[5]: float(found[6])} == pytest.approx({"x": dx, "y": dy}, rel=1e-5)
    assert abs(float(found[4])) >= abs(float(found[6]))
    assert [one[:8] for one in pictures] == [b"\x89PNG\r\n\x1a\n"]


def test_a_gradient_of_an_array_shows_itself(outputs: dict[str, list[Any]]) -> None:
    """Coordinates by their places, largest first."""
    _, pictures, plain = displayed(outputs["array"])
    plain = plain.replace("\n    ", " ")
    found = re.search(r"loss=55, norm=14\.832\d*, largest: w\[1, 2\] (\S+), w\[1, 1\] (\S+), ", plain)
    assert found is not None, plain
    assert (float(found[1]), float(found[2])) == pytest.approx((10, 8), rel=1e-5)
    assert len(pictures) == 1


def test_a_call_that_takes_longer_shows_its_progress(outputs: dict[str, list[Any]]) -> None:
    """In one line, which is replaced; at its end all are done."""
    (output,) = outputs["slow"]
    assert output.output_type == "display_data"
    line = output.data["text/plain"]
    assert re.match(r"Attempt 40 \| Loss \S+ \| MinLoss \S+ at \d+", line), line


def test_failures_are_told_with_their_reasons(outputs: dict[str, list[Any]]) -> None:
    """By kind, each with its number, its first candidate and message, and without sideways scrolling."""
    text, _, plain = displayed(outputs["failing"])
    first, second = text.splitlines()[-2:]
    assert re.match(r"\d+ nan, first at \d+: float: the loss was nan", first), first
    assert re.match(r"\d+ raised, first at \d+: ValueError: x is much much ", second), second
    assert text.startswith(plain)
    assert "white-space: pre-wrap" in outputs["failing"][0].data["text/html"]


def test_functions_of_the_notebook_are_losses(outputs: dict[str, list[Any]]) -> None:
    """With functions of their own, for a search and a gradient in one session."""
    assert printed(outputs["its own function"]) == "10.0 9\n"


def test_a_function_of_a_notebook_has_no_identity(outputs: dict[str, list[Any]]) -> None:
    """Another notebook has another `loss`, so that none can be gone on with; nothing is written."""
    assert printed(outputs["refused"]).startswith("state_dir: __main__:loss has no identity")
    assert outputs["folder"] == []


def test_a_mistake_is_an_error_with_its_words(outputs: dict[str, list[Any]]) -> None:
    """The public exception, in the words of the space that was given."""
    (output,) = outputs["mistake"]
    assert output.output_type == "error"
    assert output.ename == "InputError"
    assert output.evalue.startswith("space.x.norml: unknown key; did you mean normal?")
