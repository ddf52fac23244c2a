"""Run the notebooks, or those that are named, and keep what they print (`make notebooks`).

They are committed with their outputs, so that they can be read where nothing runs. What depends on the machine is not
kept: outputs of cells with the tag `machine`, warnings, times of execution. Cells with the tag `trained` follow from a
training, whose rounding differs between processors; the tests ask of them only that they show something.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MACHINE, TRAINED = "machine", "trained"


def executed(path: Path) -> nbformat.NotebookNode:
    """Run a notebook from the top in a new kernel, offline. Raises CellExecutionError where a cell fails."""
    os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false", PYTHONPATH=str(ROOT))
    notebook = nbformat.read(path, as_version=4)
    # A new folder would do as well: the notebooks write into temporary ones only.
    NotebookClient(notebook, timeout=900, kernel_name="python3", resources={"metadata": {"path": str(ROOT)}}).execute()
    return cleaned(notebook)


def cleaned(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Take away what another machine, or the next run, would have otherwise."""
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            kept = [] if MACHINE in cell.metadata.get("tags", ()) else cell.outputs
            cell.outputs = _joined([output for output in kept if output.get("name") != "stderr"])
    return notebook


def _joined(outputs: list[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    """Join what was printed in several pieces, as it happened to be flushed."""
    joined: list[nbformat.NotebookNode] = []
    for output in outputs:
        if joined and output.output_type == joined[-1].output_type == "stream":
            joined[-1].text += output.text
        else:
            joined.append(output)
    return joined


if __name__ == "__main__":
    for notebook in [Path(name) for name in sys.argv[1:]] or NOTEBOOKS:
        nbformat.write(executed(notebook), notebook)
        print(notebook)
