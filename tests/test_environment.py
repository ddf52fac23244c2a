"""The fingerprint of a result: complete, plain, and without secrets."""

import json

import pytest

from gelu_patch import environment
from gelu_patch.environment import best_device, fingerprint, is_offline
from gelu_patch.reporting.schema import Environment


def test_the_fingerprint_is_json_and_fills_the_schema():
    found = fingerprint()
    assert json.loads(json.dumps(found)) == found
    assert Environment(**found).packages["torch"]
    assert found["threads"] >= 1


def test_no_secret_is_taken_along(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    found = fingerprint()
    assert "hf_secret" not in json.dumps(found)
    assert found["env_vars"]["OMP_NUM_THREADS"] == "3"


@pytest.mark.parametrize(("value", "offline"), [("1", True), ("true", True), ("0", False), ("", False)])
def test_offline(monkeypatch, value, offline):
    for name in environment.OFFLINE_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", value)
    assert is_offline() is offline


def test_the_device_follows_accelerate(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    assert best_device() == "cpu"
    monkeypatch.setenv("ACCELERATE_USE_CPU", "false")
    assert best_device() == "cuda"


def test_governor_and_turbo(tmp_path):
    for name, text in {"cpu0/cpufreq/scaling_governor": "powersave\n", "intel_pstate/no_turbo": "1\n"}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert environment.governor(tmp_path) == "powersave"
    assert environment.turbo(tmp_path) is False
    (tmp_path / "intel_pstate/no_turbo").write_text("0\n")
    assert environment.turbo(tmp_path) is True
    assert environment.governor(tmp_path / "absent") is environment.turbo(tmp_path / "absent") is None


def test_amd_calls_it_boost(tmp_path):
    (tmp_path / "cpufreq").mkdir()
    (tmp_path / "cpufreq/boost").write_text("1\n")
    assert environment.turbo(tmp_path) is True


def test_slowdowns_for_heat(tmp_path):
    for core, count in {"cpu0": "3\n", "cpu1": "4\n", "cpu2": "nonsense"}.items():
        counter = tmp_path / core / "thermal_throttle" / "core_throttle_count"
        counter.parent.mkdir(parents=True)
        counter.write_text(count)
    assert environment.heat_events(tmp_path) == 7
    assert environment.heat_events(tmp_path / "absent") is None


def test_time_that_the_hypervisor_takes(tmp_path):
    stat = tmp_path / "stat"
    stat.write_text("cpu  600 0 200 100 0 0 0 100 0 0\ncpu0 1 2 3\n")
    assert environment.stolen_share(stat) == pytest.approx(0.1)
    stat.write_text("")
    assert environment.stolen_share(stat) is None
    assert environment.stolen_share(tmp_path / "absent") is None
