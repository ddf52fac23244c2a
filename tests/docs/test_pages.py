"""Every Python block of README and docs runs and prints what stands below it; the site has no broken link."""

from __future__ import annotations

import contextlib
import io
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from gelu_patch.kernels import Accepted, Request, kernels

ROOT = Path(__file__).parents[2]
PAGES = sorted(path for path in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")) if path.name != "adding.md")
BLOCK = re.compile(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", re.DOTALL)
GELU_ON_A_CPU = Request("gelu_tanh", "cpu", torch.float32)
WITH_CODE = [path for path in PAGES if "```python" in path.read_text(encoding="utf-8") and path.name != "design.md"]


@pytest.mark.parametrize("path", WITH_CODE, ids=lambda path: path.name)
def test_python_blocks(path: Path) -> None:
    names: dict[str, object] = {}
    for code, shown in BLOCK.findall(path.read_text(encoding="utf-8")):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, path.name, "exec"), names)
        if shown and isinstance(kernels.get("cpu").answer(GELU_ON_A_CPU), Accepted):  # else another kernel is printed
            assert [line.rstrip() for line in printed.getvalue().splitlines()] == shown.splitlines()


def test_links_of_the_readme_lead_somewhere() -> None:
    links = re.findall(r"\]\((?!https?://)([^)#]+)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="mkdocs is not installed: pip install 'gelu-patch[docs]'")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "site" / "guide" / "decide" / "index.html").is_file()


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 100


def test_nothing_that_is_shown_names_a_folder_of_the_machine_that_made_it() -> None:
    """A gallery that was made with `--corpus` or `--runs` outside of the tree would; `make ablation` is not."""
    folder = re.compile(r"(?<![\w./~:-])/(?:tmp|home|root|work|opt|mnt|Users)/\w[^\s\"'<]*")
    shown = [ROOT / "README.md", *(ROOT / "docs").rglob("*"), *(ROOT / "benchmarks" / "results").rglob("*")]
    texts = [path for path in shown if path.suffix in (".md", ".json", ".jsonl", ".html", ".yaml")]
    assert len(texts) > 30
    found = {path.relative_to(ROOT): folder.findall(path.read_text(encoding="utf-8")) for path in texts}
    assert not {path: folders[:3] for path, folders in found.items() if folders}
