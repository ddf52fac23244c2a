"""What is checked, kept and put side by side."""

import numpy as np

from benchmarks.pages_lib.accuracy import HEADER, read, rows
from gelu_patch.checking import check_kernels
from gelu_patch.checking.certificate import Certificate, plan_cases
from gelu_patch.checking.inputs import DTYPES, dtype_of
from gelu_patch.checking.results import DIRECTIONS
from tests.checking.made_up import NAME, registered
from tests.checking.test_kernel import HALF


def test_nothing_named_is_everything_with_the_reference_beside_it():
    with registered():
        cases, refused = plan_cases()
        assert len({str(case) for case in cases}) == len(cases)
        gelu = [case for case in cases if case.activation == "gelu"]
        assert len(gelu) == len(DTYPES) * len(DIRECTIONS)
        assert all({NAME, "eager"} <= set(case.wanted) for case in gelu)
        assert [each.kernel for each in refused if "relu" in each.activations and each.kernel == NAME] == [NAME]
        (only, _) = plan_cases(["gelu_new"], [NAME], ["bfloat16"])[0]
        assert (only.activation, only.wanted, only.kernels) == ("gelu_tanh", (NAME,), (NAME, "eager"))


def test_refusals_for_one_reason_are_one():
    with registered():
        _, refused = plan_cases(kernel_names=[NAME])
    (one,) = refused
    assert one.activations == ["relu", "relu2", "silu"]
    assert [dtype_of(name) for name in one.dtypes] == list(DTYPES.values())


def test_the_published_table(tmp_path):
    """ours / PyTorch's, from the file."""
    with registered(lambda x, y: np.where(x < -3, 0.0, y)):
        certificate = Certificate(checks=check_kernels("gelu", [NAME, "eager"], HALF))
        certificate.checks += check_kernels("gelu", [NAME, "eager"], HALF, "backward")
    (tmp_path / "c.json").write_text(certificate.to_json())
    again = read(tmp_path / "c.json")
    assert again.to_json() == certificate.to_json()
    forward, backward = (dict(zip(HEADER, row, strict=True)) for row in rows(again))
    ours, theirs = forward["max ulp, x ≥ -9"].split(" / ")
    assert float(ours) == round(max(row.max_ulp for row in certificate.checks[0].regions[1:3]), 2)
    assert 250 < float(theirs) <= float(ours) <= 256  # ulp of a value that is lost
    assert forward["not finite"] == "0 / 128"
    assert forward["error where y' crosses 0"] == "-"
    assert backward["max ulp, x ≥ -9"].startswith("0.50 / ")
    assert backward["error where y' crosses 0"] != "-"
    assert forward["less exact than PyTorch in"] == "[-5, -3)"
