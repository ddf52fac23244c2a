"""``gelu-patch doctor``: which kernel serves what on this machine, and why not a faster one."""

from __future__ import annotations

import typer

from gelu_patch.cli import options


def doctor(device: options.Device = "cpu", json_output: options.Json = False) -> None:
    """Print which kernel computes which activation here, why the faster ones do not, and what to type."""
    from gelu_patch.checking.doctor import diagnose

    options.check_device(device)
    diagnosis = diagnose(device)
    if json_output:
        typer.echo(diagnosis.model_dump_json(indent=1))
    else:
        options.out.print(str(diagnosis))
