"""Energy counters, on a made-up /sys: readable, unreadable, wrapping, absent."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest

from gelu_patch.energy import NoEnergy, find_reader

RANGE = 262_143_328_850


def package(root: Path, number: int, energy_uj: object, name: str = "") -> Path:
    folder = root / f"intel-rapl:{number}"
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{name or f'package-{number}'}\n")
    (folder / "max_energy_range_uj").write_text(f"{RANGE}\n")
    (folder / "energy_uj").write_text(f"{energy_uj}\n")
    return folder / "energy_uj"


def test_the_energy_of_all_packages_is_added(tmp_path):
    one, two = package(tmp_path, 0, 5_000_000), package(tmp_path, 1, 7_000_000)
    package(tmp_path, 2, 9_000_000, name="psys")  # the whole platform: it would count the packages again
    part = tmp_path / "intel-rapl:0:0"  # a part of the first package
    part.mkdir()
    (part / "name").write_text("core")
    reader = find_reader("cpu", root=tmp_path)
    assert reader.joules() == 0
    one.write_text("6500000")
    two.write_text("8000000")
    assert reader.joules() == pytest.approx(2.5)
    assert "2 processor packages" in reader.source


def test_a_counter_that_starts_again(tmp_path):
    counter = package(tmp_path, 0, RANGE - 1_000_000)
    reader = find_reader("cpu", root=tmp_path)
    counter.write_text("2000000")
    assert reader.joules() == pytest.approx(3.000001)
    counter.write_text("2500000")
    assert reader.joules() == pytest.approx(3.500001)


def test_a_counter_for_root_only(tmp_path, monkeypatch):
    counter = package(tmp_path, 0, 1)
    real = Path.read_text

    def refuse(self, *args, **kwargs):
        if self == counter:
            raise PermissionError(13, "Permission denied", str(self))
        return real(self, *args, **kwargs)

    monkeypatch.setattr(Path, "read_text", refuse)  # chmod does not stop root
    found = find_reader("cpu", root=tmp_path)
    assert isinstance(found, NoEnergy)
    assert "root only" in found.reason
    assert "chmod" in found.next_step


@pytest.mark.parametrize("energy", ["", "nonsense"])
def test_a_counter_that_makes_no_sense(tmp_path, energy):
    package(tmp_path, 0, energy)
    assert "cannot be read" in find_reader("cpu", root=tmp_path).reason


def test_no_counter(tmp_path):
    assert "virtual machine" in find_reader("cpu", root=tmp_path).reason
    assert "virtual machine" in find_reader("cpu", root=tmp_path / "absent").reason
    assert "no energy counter is known for mps" in find_reader("mps").reason


def test_a_gpu_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    found = find_reader("cuda")
    assert "nvidia-ml-py" in found.reason
    assert "gelu-patch[energy]" in found.next_step


def test_a_gpu(monkeypatch):
    import torch

    millijoules = iter([1_000, 4_500])
    nvml = types.SimpleNamespace(
        NVMLError=type("NVMLError", (Exception,), {}),
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID=lambda uuid: uuid,
        nvmlDeviceGetTotalEnergyConsumption=lambda handle: next(millijoules),
    )
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: types.SimpleNamespace(uuid="abc"))
    reader = find_reader("cuda:0")
    assert reader.handle == "GPU-abc"
    assert reader.joules() == pytest.approx(3.5)
