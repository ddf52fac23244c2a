"""Check kernels case after case, keeping what is finished."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from gelu_patch.checking.certificate import Case, Certificate, Refusal
from gelu_patch.errors import EnvironmentProblem, Interrupted
from gelu_patch.reporting.storage.files import make_directory, write_text
from gelu_patch.runs.progress import Progress


def verify(
    cases: Sequence[Case],
    refused: Sequence[Refusal],
    *,
    progress: Progress,
    on_case: Callable[[Certificate, Case], None],
    output: Path | None = None,
) -> Certificate:
    """Run ``cases``; call ``on_case`` after each, and write the certificate to ``output`` each time.

    Raises EnvironmentProblem when there is nothing to check or ``output`` cannot be written, Interrupted on Ctrl-C.
    """
    if not cases:
        raise EnvironmentProblem(
            "nothing was checked",
            why="; ".join(f"{each.kernel}: {each.reason}" for each in refused),
            next_step=next((each.next_step for each in refused if each.next_step), "gelu-patch doctor"),
        )
    if output is not None:
        make_directory(output.parent)  # nobody waits for what cannot be written
    certificate = Certificate(refused=list(refused), not_run=[str(case) for case in cases])
    try:
        for case in cases:
            with progress.bar(str(case)) as update:
                certificate.checks += case.run(lambda done, total: update(done, total, ""))
            certificate.not_run.remove(str(case))
            if output is not None:
                write_text(output, certificate.to_json() + "\n")
            on_case(certificate, case)
    except KeyboardInterrupt as error:
        finished = cases[: len(cases) - len(certificate.not_run)]
        kept = f"; they are in {output}" if output is not None and finished else ""
        raise Interrupted(
            f"the check was stopped after {len(finished)} of {len(cases)} cases",
            why=f"finished: {', '.join(map(str, finished)) or 'nothing yet'}{kept}",
            next_step=f"go on with {certificate.not_run[0]}: --activation, --kernel and --dtype name what to check"
            if certificate.not_run
            else None,
        ) from error
    return certificate
