"""The ablations of the gallery: their files can be meant, and go with the data that the script prepares."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import ablations
from gelu_patch.runs.ablation_file import read_ablation
from gelu_patch.tasks import tasks

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ablations.PREPARE)
def test_a_file_of_the_gallery(name):
    found = read_ablation(ROOT / ablations.SHELF / f"ablation_{name}" / "ablation.yaml")
    tasks.get(found.task)
    assert len(found.arms) == 5
    assert {len(found.seeds)} <= {3, 5}
    assert found.output_dir == Path("runs") / f"ablation_{name}"
    for file in (found.model_name_or_path, found.train_file, found.test_file):
        assert Path(file).is_relative_to(ablations.DATA / name)


def test_no_other_ablation(capsys):
    with pytest.raises(SystemExit):
        ablations.main(["bert"])
    assert "no ablation is called bert" in capsys.readouterr().err
