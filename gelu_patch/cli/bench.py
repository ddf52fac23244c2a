"""``gelu-patch bench``: is it faster, and could it be at all?"""

from __future__ import annotations

from typing import Annotated

import typer

from gelu_patch.cli import options
from gelu_patch.memory import DEFAULT, checked


def bench(
    source: Annotated[
        str, typer.Argument(metavar="MODEL", help="Model directory, Hub id or folder of a training run.")
    ],
    to: Annotated[str, typer.Option("--to", help="Targets, such as gelu_fused,relu.")] = "gelu_fused",
    shapes: Annotated[
        str | None,
        typer.Option("--shapes", help="BATCHxLENGTH, such as 1x128,8x128; for images the length is the side."),
    ] = None,
    device: options.Device = "cpu",
    phase: Annotated[
        str, typer.Option("--phase", help="One or more of forward, forward_backward and generate.")
    ] = "forward",
    pairs: Annotated[
        int, typer.Option("--pairs", help="Pairs to begin with, in each process; more follow while it is too noisy.")
    ] = 100,
    max_seconds: Annotated[
        float, typer.Option("--max_seconds", help="Budget of a shape and phase, in all processes together.")
    ] = 120.0,
    processes: Annotated[int, typer.Option("--processes", help="Fresh processes.")] = 3,
    dtype: Annotated[
        str | None, typer.Option("--dtype", help="float32, bfloat16 or float16. Default: that of the checkpoint.")
    ] = None,
    threads: Annotated[int | None, typer.Option("--threads", help="Threads of torch. Default: torch's own.")] = None,
    compiled: Annotated[bool, typer.Option("--compile", help="Also every arm under torch.compile.")] = False,
    memory: Annotated[
        str, typer.Option("--memory", help="What training keeps for backward: balanced, speed or max.")
    ] = DEFAULT,
    new_tokens: Annotated[int, typer.Option("--new_tokens", help="Tokens to generate for each example.")] = 16,
    margin: Annotated[
        str, typer.Option("--margin", help="How much slower is still the same; the A/A control must be finer.")
    ] = "+2%",
    seed: Annotated[int, typer.Option("--seed", help="Of the inputs and of every random order.")] = 0,
    output_dir: options.OutputDir = None,
    overwrite_output_dir: options.Overwrite = False,
    trust_remote_code: options.TrustRemoteCode = False,
    revision: options.Revision = None,
    json_output: options.Json = False,
    quiet: options.Quiet = False,
    offline: options.Offline = False,
) -> None:
    """Measure stock against swaps, interleaved: latency, throughput, memory, energy. First: is it worth it?

    Exits with 5 when an A/A control failed, so that a ratio means nothing.
    """
    from gelu_patch.errors import ExitCode
    from gelu_patch.reporting.policy.margins import parse_margin
    from gelu_patch.runs.bench import bench_job, bench_run, parse_targets
    from gelu_patch.runs.progress import ConsoleProgress, Silent
    from gelu_patch.timing.benchmark import checked_targets, require_whole
    from gelu_patch.timing.shapes import parse_phases, parse_shapes

    options.check_device(device)
    job = bench_job(
        source,
        trust_remote_code=trust_remote_code,
        revision=revision,
        targets=checked_targets(parse_targets(to)),
        shapes=parse_shapes(shapes) if shapes is not None else None,
        phases=parse_phases(phase),
        device=device,
        dtype=dtype,
        threads=threads,
        compiled=compiled,
        memory=checked(memory),
        n_pairs=pairs,
        max_pairs=10 * pairs,
        max_seconds=max_seconds,
        processes=processes,
        margin=parse_margin("latency", margin).value,
        seed=seed,
        new_tokens=new_tokens,
    )
    progress = Silent() if quiet else ConsoleProgress(options.err)
    found = bench_run(job, output_dir, overwrite=overwrite_output_dir, progress=progress)
    if json_output:
        typer.echo(found.report.model_dump_json(indent=1, by_alias=True))
    else:
        options.out.print(str(found))
        if output_dir is not None:
            options.out.print(f"run folder: {output_dir}")
    require_whole(found)
    failed = [entry for entry in found.report.latency if entry.valid is False]
    if failed:
        raise typer.Exit(int(ExitCode.INVALID))
