"""``gelu-patch verify`` and ``gelu-patch doctor`` as a person types them."""

import json
import re

import numpy as np
import pytest

from gelu_patch.checking import inputs
from gelu_patch.checking.certificate import Case, Certificate
from gelu_patch.kernels.cpu.library import INSTALL_AGAIN, Library, Unavailable, library
from tests.checking.made_up import NAME, registered
from tests.checking.test_kernel import flush
from tests.cli.test_bad_input import ENVIRONMENT, USAGE, assert_refused

ONE = ("--activation", "gelu", "--dtype", "bfloat16")
OURS = ("--kernel", NAME)


def test_a_right_kernel_beside_pytorchs_own_op(cli):
    with registered():
        done = cli("verify", *ONE, *OURS)
    assert done.code == 0, done.err
    assert done.out.count("gelu forward bfloat16 on cpu, all 65,536 inputs: made_up (exact) beside eager") == 1
    assert "gelu backward bfloat16" in done.out
    assert "[-0.8768, -0.6268)" in done.out
    assert "VERDICT   KEPT: 2 of 2 checks are inside of the declared bounds" in done.out
    assert "BROKEN made_up" not in done.out
    assert max(map(len, done.out.splitlines())) <= 120


def test_a_wrong_kernel_fails_and_the_region_is_named(cli, tmp_path):
    with registered(flush):
        done = cli("verify", *ONE, *OURS, "--json", tmp_path / "c.json")
    assert done.code == 1
    assert "BROKEN made_up: gelu forward bfloat16 on cpu, all 65,536 inputs: x in [-9, -5): the error is" in done.out
    assert "VERDICT   BROKEN: 1 of 2 checks" in done.out
    assert re.search(r"\[-9, -5\) .* BROKEN$", done.out, re.MULTILINE)
    certificate = Certificate.model_validate_json((tmp_path / "c.json").read_text())
    assert [check.kernel for check in certificate.broken] == [NAME]
    assert certificate.not_run == []
    assert certificate.environment["cpu"]


def test_a_kernel_that_is_less_exact_than_pytorchs_is_flagged_and_does_not_fail(cli):
    worse = "note: made_up is less exact than eager: gelu forward bfloat16 on cpu, all 65,536 inputs: [1, 5)"
    with registered(lambda x, y: np.where(x == 1.5, np.nextafter(np.float32(y), np.float32(9)) + 0.006, y)):
        done = cli("verify", *ONE, *OURS)
    assert done.code == 0, done.out
    assert worse in done.out
    assert re.search(r"\[1, 5\) .* less exact$", done.out, re.MULTILINE)


def test_everything_is_the_default_and_eager_alone_where_nothing_else_is(cli, tmp_path):
    with registered():
        done = cli("verify", "--dtype", "float16", "--json", tmp_path / "c.json")
    assert done.code == 0, done.out
    certificate = json.loads((tmp_path / "c.json").read_text())
    assert {(check["activation"], check["kernel"]) for check in certificate["checks"]} >= {
        ("relu", "eager"),
        ("gelu", "eager"),
        ("gelu", NAME),
    }
    assert "relu forward float16 on cpu, all 65,536 inputs: eager\n" in done.out
    assert "gelu forward float16 on cpu, all 65,536 inputs: eager\n" not in done.out
    assert f"note: {NAME} was not checked for relu, relu2, silu in float16: it has GELU only" in done.err


def test_kernels_that_refuse_are_a_reason_and_nothing_checked_is_no_success(cli):
    with registered():
        done = cli("verify", "--activation", "relu", *OURS)
    assert_refused(done, ENVIRONMENT, "nothing was checked", "it has GELU only", "ask nicely")


@pytest.mark.parametrize(
    ("flag", "value", "hint"),
    [("activation", "gleu", "gelu"), ("kernel", "egar", "eager"), ("dtype", "bf16", "bfloat16")],
)
def test_unknown_names(cli, flag, value, hint):
    assert_refused(cli("verify", f"--{flag}", value), USAGE, f"unknown {flag} '{value}'", hint)


def test_a_file_that_cannot_be_written_is_known_before_the_work(cli, tmp_path):
    (tmp_path / "file").write_text("")
    done = cli("verify", *ONE, "--json", tmp_path / "file" / "c.json")
    assert_refused(done, ENVIRONMENT, "cannot write")
    assert "gelu forward" not in done.out


def test_unknown_devices(cli):
    assert_refused(cli("verify", "--device", "gpu"), USAGE, "'gpu' is no device")
    assert_refused(cli("doctor", "--device", "gpu"), USAGE, "'gpu' is no device")


def test_the_long_way_shows_how_far_it_is_and_takes_all_inputs(cli, monkeypatch):
    monkeypatch.setattr(inputs, "PATTERNS", 2**19)
    done = cli("verify", "--activation", "relu2", "--dtype", "float32", "--long", "--kernel", "eager")
    assert done.code == 0, done.out
    assert "relu2 forward float32 on cpu, all 524,288 inputs: eager" in done.out
    assert "relu2 backward float32: 524288/524288" in done.err


def test_ctrl_c_says_what_is_finished_and_keeps_it(cli, monkeypatch, tmp_path):
    real = Case.run

    def stopped(case, on_progress=None):
        if case.direction == "backward":
            raise KeyboardInterrupt
        return real(case, on_progress)

    monkeypatch.setattr(Case, "run", stopped)
    done = cli("verify", *ONE, "--kernel", "eager", "--json", tmp_path / "c.json")
    assert_refused(done, 130, "stopped after 1 of 2 cases", "finished: gelu forward bfloat16", str(tmp_path / "c.json"))
    kept = Certificate.model_validate_json((tmp_path / "c.json").read_text())
    assert [check.direction for check in kept.checks] == ["forward"]
    assert kept.not_run == ["gelu backward bfloat16"]


def test_doctor(cli):
    done = cli("doctor")
    assert done.code == 0
    assert re.search(r"gelu_10 +float32, bfloat16, float16, +eager", done.out)
    if isinstance(library(), Library):
        assert re.search(r"gelu, gelu_tanh, .* cpu \(\w+\)", done.out)
        assert "pip install" not in done.out  # other advice is about what else runs here
    assert max(map(len, done.out.splitlines())) <= 120


def test_doctor_says_why_the_extension_is_not_used_and_what_to_type(cli, monkeypatch):
    absent = Unavailable("the C extension was not built")
    for place in ("gelu_patch.kernels.cpu.kernel.library", "gelu_patch.checking.doctor.library"):
        monkeypatch.setattr(place, lambda: absent)
    done = cli("doctor")
    assert re.search(r"gelu, gelu_tanh, .* eager +cpu: the C extension was not built", done.out)
    assert done.out.count(f"next: {INSTALL_AGAIN}") == 1


def test_doctor_for_a_gpu_as_json(cli):
    done = cli("doctor", "--device", "cuda", "--json")
    sections = {section["title"]: section for section in json.loads(done.out)["sections"]}
    rows = sections["kernels of activations"]["rows"]
    assert [row[2:] for row in rows if row[0] == "gelu_10"] == [
        ["eager", "triton: it has no 'gelu_10'; it serves gelu, gelu_tanh, gelu_quick"]
    ]
    assert not any("it runs on CPUs" in row[3] for row in rows)  # that explains nothing on a GPU
