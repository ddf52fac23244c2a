"""The section of the doctor on measuring: what it says follows from what it finds."""

from __future__ import annotations

import pytest

from gelu_patch.checking import doctor
from gelu_patch.energy import NoEnergy


@pytest.fixture
def machine(monkeypatch):
    """A quiet machine with everything readable, and a function to change it."""

    def change(**found: object) -> None:
        for name, value in found.items():
            monkeypatch.setattr(doctor, name, lambda *_, value=value: value)

    change(
        governor="performance",
        turbo=False,
        stolen_share=0.0,
        heat_events=0,
        _spread=1.01,
        find_reader=NoEnergy("no counter"),
    )
    monkeypatch.setattr(doctor.os, "getloadavg", lambda: (0.0, 0.0, 0.0))
    return change


def section() -> dict[str, str]:
    return {row[0]: row[1] for row in doctor._measuring("cpu").rows}


def test_a_quiet_machine_is_trusted(machine):
    rows = section()
    assert rows["can latency be trusted?"] == "yes"
    assert rows["energy"] == "not available: no counter"
    assert rows["turbo"] == "off"
    assert not doctor._measuring("cpu").advice


@pytest.mark.parametrize(
    ("found", "reason", "advice"),
    [
        ({"governor": "powersave"}, "frequency changes", "cpupower"),
        ({"stolen_share": 0.05}, "hypervisor", ""),
        ({"_spread": 1.5}, "unequal times", ""),
    ],
)
def test_each_reason_for_care(machine, found, reason, advice):
    machine(**found)
    assert reason in section()["can latency be trusted?"]
    assert advice in " ".join(doctor._measuring("cpu").advice)


def test_a_busy_machine(machine, monkeypatch):
    monkeypatch.setattr(doctor.os, "getloadavg", lambda: (8.0 * (doctor.os.cpu_count() or 1), 0.0, 0.0))
    assert "other programs" in section()["can latency be trusted?"]


def test_energy_has_its_advice_and_the_section_is_one_of_the_doctors(machine):
    machine(find_reader=NoEnergy("root only", "sudo chmod ..."))
    assert doctor._measuring("cpu").advice == ["sudo chmod ..."]
    assert doctor._measuring in doctor.SECTIONS


def test_what_cannot_be_read_is_said(machine):
    machine(governor=None, turbo=None, stolen_share=None, heat_events=None)
    rows = section()
    assert rows["governor"] == rows["turbo"] == rows["slowed down by heat"] == "cannot be read here"
    assert rows["can latency be trusted?"] == "yes", "what is not known is not held against it"


def test_it_really_measures():
    assert doctor._spread() >= 1
