"""The notebooks run from the top, say what they are committed with, and hold nothing of a machine."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from nbclient.exceptions import CellExecutionError

from tools.notebooks import MACHINE, NOTEBOOKS, TRAINED, cleaned, executed

pytest.importorskip("matplotlib")

# Numbers, the kernel that this machine has, and the widths of columns.
_VARIES = re.compile(r"[-+]?\d[\d.,e+-]*|\b(cpu|eager)( \+ \w+)?\b|[\s─]+")


def ids(path: Path) -> str:
    return path.stem


def said(notebook: nbformat.NotebookNode) -> list[tuple[str, str]]:
    """What each code cell printed and which pictures it showed, without what varies."""
    found = []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            text = "".join(output.get("text", "") for output in cell.outputs)
            kinds = sorted({kind for output in cell.outputs for kind in (output.output_type, *output.get("data", ()))})
            plain = "" if TRAINED in cell.metadata.get("tags", ()) else _VARIES.sub(" ", text)
            found.append((" ".join(plain.split()), ",".join(kinds)))
    return found


def test_there_are_two():
    assert [path.name for path in NOTEBOOKS] == ["01_swap_and_measure.ipynb", "02_compare_before_after.ipynb"]


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=ids)
def test_it_runs_and_still_says_the_same(path):
    assert said(executed(path)) == said(nbformat.read(path, as_version=4)), (
        "run `make notebooks` and look at what has changed"
    )


@pytest.mark.slow
def test_a_cell_that_fails_is_noticed(tmp_path):
    broken = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 / 0")])
    nbformat.write(broken, tmp_path / "broken.ipynb")
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        executed(tmp_path / "broken.ipynb")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=ids)
def test_it_is_committed_clean(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert cleaned(nbformat.read(path, as_version=4)) == notebook
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert [cell for cell in code if cell.outputs]
    assert not re.search(r"/(home|root|tmp|work|usr|opt)\b|https?://(?!www\.w3\.org)", path.read_text(encoding="utf-8"))
    assert all(not cell.outputs for cell in code if MACHINE in cell.metadata.get("tags", ()))


def test_what_a_machine_leaves_is_taken_away():
    cell = nbformat.v4.new_code_cell("1", metadata={"execution": {"iopub.execute_input": "2026-01-01"}})
    cell.outputs = [nbformat.v4.new_output("stream", name=name, text="x") for name in ("stdout", "stderr")]
    timed = nbformat.v4.new_code_cell("2", metadata={"tags": [MACHINE]})
    timed.outputs = [nbformat.v4.new_output("stream", name="stdout", text="3 ms")]
    notebook = nbformat.v4.new_notebook(
        cells=[cell, timed], metadata={"language_info": {"name": "python", "version": "3"}}
    )
    first, second = cleaned(notebook).cells
    assert [output.name for output in first.outputs] == ["stdout"]
    assert "execution" not in first.metadata
    assert second.outputs == []
    assert "version" not in notebook.metadata["language_info"]
