"""The entry point: verbs, flags written with ``-`` or ``_``, and errors turned into exit codes."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from gelu_patch.cli import ablate, bench, compare, demo, doctor, evaluate, inspect, report, train, verify
from gelu_patch.environment import DISTRIBUTION, __version__
from gelu_patch.errors import GeluPatchError
from gelu_patch.training.settings import NEWEST

EXIT_CODES = """
Exit codes: 0 fine (SHIP, NO GAIN, declared bounds kept), 1 DO NOT SHIP or a declared bound exceeded, 2 usage,
3 INCONCLUSIVE or PRELIMINARY, 4 NOT COMPARABLE, 5 INVALID, 6 model, data or permission missing, 130 interrupted.
"""

app = typer.Typer(
    name="gelu-patch",
    help="Swap the GELU activations of a Transformers model and measure whether the swap may ship.",
    epilog=EXIT_CODES.strip(),
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # boxes cut long flag names short
    pretty_exceptions_enable=False,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "token_normalize_func": lambda name: name.replace("-", "_"),
    },
)
app.command("inspect")(inspect.inspect)
app.command("train")(train.train)
app.command("eval")(evaluate.evaluate)
app.command("bench")(bench.bench)
app.command("compare")(compare.compare)
app.command("ablate")(ablate.ablate)
app.command("report")(report.report)
app.command("verify")(verify.verify)
app.command("doctor")(doctor.doctor)
app.command("demo")(demo.demo)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"{DISTRIBUTION} {__version__}")
        raise typer.Exit


@app.callback()
def _global_options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line and exit with the code that ``errors.ExitCode`` documents."""
    try:
        app(args=_with_optional_values(sys.argv[1:]))
    except GeluPatchError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(int(error.exit_code))


def _with_optional_values(arguments: list[str]) -> list[str]:
    """Give flags whose value may be left out the value that this stands for."""
    result: list[str] = []
    for argument, following in zip(arguments, [*arguments[1:], "--"], strict=True):
        result.append(argument)
        if argument.replace("-", "_") == "__resume_from_checkpoint" and following.startswith("-"):
            result.append(NEWEST)
    return result
