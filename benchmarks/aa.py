"""Does the latency protocol tell a difference from none? Real runs on a small BERT, where the truth is planted.

20 runs compare stock with itself under another name, 20 with a forward that is made 5 % longer by waiting. Each is the
complete protocol: fresh processes, random order, A/A control. Bars: at most 2 of the equal runs say FASTER or SLOWER;
the delay is found (SLOWER) in all runs that the machine allowed to be valid. Runs are kept one by one, so that the
work can be cut into pieces: ``python benchmarks/aa.py --runs 4`` does four more of each kind. Writes
benchmarks/results/aa.json.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections import Counter
from functools import partial
from pathlib import Path

import torch
from torch import nn
from transformers import BertConfig, BertModel

from gelu_patch.environment import fingerprint
from gelu_patch.reporting.storage.timings import CONTROL, LIMIT, STOCK, Cell
from gelu_patch.timing.analysis import latency_entries
from gelu_patch.timing.job import Job
from gelu_patch.timing.latency import measure_interleaved
from gelu_patch.timing.session import Session
from gelu_patch.timing.tasks import Conditions, Entering, Pairs, PeakMemory, all_arms, runs_of

OUTPUT = Path(__file__).parent / "results" / "aa.json"
CELL = Cell((2, 64), "forward")
OTHER = "planted"
KINDS = {"equal": 1.0, "delay of 5 %": 1.05}
RUNS = 20
BAR = 2


def bert() -> nn.Module:
    torch.manual_seed(0)
    config = BertConfig(hidden_size=128, num_hidden_layers=3, num_attention_heads=2, intermediate_size=512)
    return BertModel(config, add_pooling_layer=False)


class Planted:
    """A timing process whose target is stock, made ``factor`` times as long by waiting."""

    def __init__(self, job: Job, number: int, factor: float) -> None:
        self.job, self.number, self.factor = job, number, factor

    def run(self, send) -> Conditions:
        """Measure the one cell."""

        order = random.Random(f"{self.job.seed}/{self.number}")
        model = self.job.model()
        arms, n_sites = all_arms(model, Job(load=bert, targets=()), order)
        # A shell of its own, as every target has; built like the others.
        arms[OTHER] = all_arms(model, Job(load=bert, targets=()), order)[0][STOCK]
        send(Entering(CELL))
        runs = runs_of({name: arms[name] for name in (STOCK, OTHER, CONTROL, LIMIT)}, self.job, model, CELL)
        runs[OTHER] = partial(longer, runs[OTHER], self.factor)
        measured = measure_interleaved(
            runs,
            baseline=STOCK,
            control=CONTROL,
            effort=self.job.effort,
            seed=order.randrange(2**32),
            on_pairs=lambda seconds, done: send(Pairs(CELL, seconds, done)),
        )
        return Conditions({CELL: measured.warmup}, n_sites, fingerprint())


def longer(run, factor: float) -> None:
    """Run, then wait until ``factor`` times as long has passed."""
    started = time.perf_counter()
    run()
    end = started + factor * (time.perf_counter() - started)
    while time.perf_counter() < end:
        pass


def execute(factor: float, task, receive, *, variables=None):
    """Run the tasks of a session in fresh processes, with the planted arm in the place of the target."""
    from gelu_patch.timing.processes import run_in_process

    if isinstance(task, PeakMemory):
        return [], [], None
    import aa  # the class as another process finds it

    return run_in_process(aa.Planted(task.job, task.number, factor), receive, variables=variables)


def one_run(kind: str, seed: int, seconds: float) -> dict:
    import aa

    job = Job(load=aa.bert, targets=(OTHER,), shapes=(CELL.shape,), n_pairs=60, max_seconds=seconds, seed=seed)
    started = time.perf_counter()
    found = Session(job, execute=partial(execute, KINDS[kind])).run()
    if found.interrupted:  # a session keeps what it has; a run that was cut short is none of the twenty
        raise KeyboardInterrupt
    entry = latency_entries(CELL, found.timings[CELL], seed=seed)[OTHER]
    control = entry.aa_control
    return {
        "seed": seed,
        "state": entry.state,
        "ratio": round(entry.ratio, 4),
        "ci": [round(end, 4) for end in entry.ratio_ci],
        "aa": {"ratio": round(control.ratio, 4), "ci": [round(end, 4) for end in control.ci]},
        "n_processes": entry.n_processes,
        "n_pairs": entry.n_pairs,
        "p50_ms": round(1e3 * entry.p50, 3),
        "seconds": round(time.perf_counter() - started, 1),
        "loadavg": fingerprint()["loadavg"],
    }


def summary(runs: dict[str, list[dict]]) -> dict:
    states = {kind: dict(Counter(run["state"] for run in found)) for kind, found in runs.items()}
    wrong = sum(run["state"] in ("FASTER", "SLOWER") for run in runs["equal"])
    valid = [run for run in runs["delay of 5 %"] if run["state"] != "INVALID"]
    return {
        "states": states,
        "equal runs called faster or slower": f"{wrong} of {len(runs['equal'])} (bar: {BAR} of {RUNS})",
        "delays found": f"{sum(run['state'] == 'SLOWER' for run in valid)} of {len(valid)} valid runs",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=RUNS, help="at most so many more runs of each kind")
    parser.add_argument("--seconds", type=float, default=20.0, help="budget of a run's timing")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    arguments = parser.parse_args()
    kept = json.loads(arguments.output.read_text()) if arguments.output.exists() else {}
    runs = kept.get("runs", {kind: [] for kind in KINDS})
    for _ in range(arguments.runs):
        for kind in KINDS:
            if len(runs[kind]) < RUNS:
                runs[kind].append(one_run(kind, len(runs[kind]), arguments.seconds))
                print(kind, runs[kind][-1], flush=True)
                result = {"summary": summary(runs), "environment": fingerprint(), "runs": runs}
                arguments.output.parent.mkdir(parents=True, exist_ok=True)
                arguments.output.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(summary(runs), indent=1))


if __name__ == "__main__":
    main()
