"""The report in docs/gallery: MiniLM on Rotten Tomatoes, stock against three activations, swapped in and retrained.

    make gallery                                 (or: python benchmarks/gallery.py; about half an hour on two cores)
    python benchmarks/gallery.py --quick --output_dir /tmp/gallery    (a minute; shows the path, proves nothing)

Arms that are finished are reused: a run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from gelu_patch.demo.journey import run_demo
from gelu_patch.demo.settings import Settings
from gelu_patch.reporting.storage.run_folder import HTML, MARKDOWN, REPORT
from gelu_patch.runs.progress import ConsoleProgress

SHELF = Path("docs/gallery/minilm_rotten_tomatoes")
WINDOW = "1100,900"
FEWEST_TEST_SENTENCES = 2000  # below this a report is not put on the shelf


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs/gallery"), help="where the arms are kept")
    parser.add_argument("--output_dir", type=Path, default=SHELF)
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args(arguments)
    settings = Settings.gallery()
    if given.quick:
        settings = replace(Settings.quick(), targets=settings.targets)
    if given.output_dir == SHELF and settings.n_test < FEWEST_TEST_SENTENCES:
        parser.error(f"--quick needs an --output_dir: {SHELF} is for reports on real numbers")
    console = Console(soft_wrap=True, highlight=False, markup=False)
    run_demo(given.runs, settings=settings, console=console, progress=ConsoleProgress(Console(stderr=True)))
    given.output_dir.mkdir(parents=True, exist_ok=True)
    for name in (REPORT, MARKDOWN, HTML):
        shutil.copyfile(given.runs / name, given.output_dir / name)
        console.print(f"wrote {given.output_dir / name}")
    console.print(picture(given.output_dir / HTML))


def picture(page: Path) -> str:
    """Photograph the first screen of the page, for README.md, and say whether that was possible."""
    browser = shutil.which("chromium")
    if browser is None:
        return f"no picture of {page}: chromium is not installed"
    image = page.with_suffix(".png").resolve()
    flags = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--window-size={WINDOW}")
    subprocess.run([browser, *flags, f"--screenshot={image}", page.resolve().as_uri()], check=True, capture_output=True)
    return f"wrote {page.with_suffix('.png')}"


if __name__ == "__main__":
    main()
