"""``gelu-patch verify``: are the kernels as exact as they declare?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gelu_patch.cli import options

if TYPE_CHECKING:
    from gelu_patch.checking.certificate import Case, Certificate


def verify(
    activation: Annotated[
        list[str] | None, typer.Option("--activation", help="Registered name or alias. May be repeated. Default: all.")
    ] = None,
    kernel: Annotated[
        list[str] | None, typer.Option("--kernel", help="Who computes it. May be repeated. Default: all.")
    ] = None,
    dtype: Annotated[
        list[str] | None, typer.Option("--dtype", help="float32, bfloat16 or float16. May be repeated. Default: all.")
    ] = None,
    device: options.Device = "cpu",
    long: Annotated[
        bool, typer.Option("--long", help="All 2^32 float32 inputs instead of a part: minutes for each activation.")
    ] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Also write the certificate, case after case.")
    ] = None,
    quiet: options.Quiet = False,
) -> None:
    """Compare kernels, forward and backward, with float64 truth, beside PyTorch's own ops.

    Exits with 1 when an error is larger than the kernel declares.
    """
    from gelu_patch.checking.certificate import plan_cases
    from gelu_patch.checking.table import LEGEND
    from gelu_patch.errors import ExitCode
    from gelu_patch.runs.progress import ConsoleProgress, Silent
    from gelu_patch.runs.verify import verify as run

    options.check_device(device)
    cases, refused = plan_cases(activation or (), kernel or (), dtype or (), device=device, long=long)
    for each in refused:
        names = f"{', '.join(each.activations)} in {', '.join(each.dtypes)}"
        options.err.print(f"note: {each.kernel} was not checked for {names}: {each.reason}")
    progress = ConsoleProgress(options.err) if long and not quiet else Silent()
    certificate = run(cases, refused, progress=progress, on_case=_print_case, output=json_file)
    options.out.print(LEGEND)
    wanted = {case_kernel for case in cases for case_kernel in case.wanted}
    _print_verdict(certificate, wanted)
    if json_file:
        options.out.print(f"certificate: {json_file}")
    broken = [check for check in certificate.broken if check.kernel in wanted]
    raise typer.Exit(int(ExitCode.DO_NOT_SHIP if broken else ExitCode.OK))


def _print_case(certificate: Certificate, case: Case) -> None:
    from gelu_patch.checking.certificate import REFERENCE
    from gelu_patch.checking.table import check_text

    for check in certificate.checks[-len(case.kernels) :]:
        beside_others = check.kernel == REFERENCE and len(case.kernels) > 1
        if not beside_others:
            options.out.print(check_text(check, certificate.beside(check)) + "\n")


def _print_verdict(certificate: Certificate, wanted: set[str]) -> None:
    checks = [check for check in certificate.checks if check.kernel in wanted]
    broken = [check for check in checks if not check.kept]
    for check in checks:
        reference = certificate.beside(check)
        less_exact = check.worse_than(reference) if reference is not None else []
        if reference is not None and less_exact:
            options.out.print(
                f"note: {check.kernel} is less exact than {reference.kernel}: {check.case}: {', '.join(less_exact)}"
            )
    for check in broken:
        for text in check.broken:
            options.out.print(f"BROKEN {check.kernel}: {check.case}: {text}")
    inside = f"{len(checks) - len(broken)} of {len(checks)} checks are inside of the declared bounds"
    options.out.print(f"VERDICT   {'BROKEN' if broken else 'KEPT'}: {inside}")
