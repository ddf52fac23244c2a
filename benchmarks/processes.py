"""Eight processes, and two hosts, against one process: the same loss curve?

`gelu-patch train` fine-tunes a tiny BERT with dropout, at the same batch per optimizer step: in one process, in eight
that torchrun starts, and in two "hosts", which are two network namespaces of this machine with a virtual cable between
them (needs root and `ip`), two processes each, which meet by torchrun's rendezvous over that cable.

    python benchmarks/processes.py            # writes benchmarks/results/processes.json
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from gelu_patch.environment import fingerprint  # noqa: E402
from gelu_patch.reporting.storage.run_folder import TRAINING_LOG, now  # noqa: E402
from tests.tasks.tiny import save_tiny_bert, tiny_examples  # noqa: E402

BATCH = 16
HOSTS = ("gelu-patch-a", "gelu-patch-b")
ADDRESSES = ("10.203.7.1", "10.203.7.2")
CABLES = ("gelu-veth-a", "gelu-veth-b")
PATIENCE = 500
TORCHRUN = [sys.executable, "-m", "torch.distributed.run"]


def environment(**more: str) -> dict[str, str]:
    quiet = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1"}
    return {**os.environ, **quiet, "ACCELERATE_USE_CPU": "true", "PYTHONPATH": str(ROOT), **more}


def training(work: Path, name: str, processes: int) -> list[str]:
    """The arguments of one training, at the same batch per optimizer step whatever the number of processes."""
    flags = {
        "model_name_or_path": work / "model",
        "train_file": work / "data.csv",
        "output_dir": work / name,
        "activation": "gelu_fused",
        "learning_rate": "1e-3",
        "num_train_epochs": "2",
        "per_device_train_batch_size": "2",
        "gradient_accumulation_steps": str(BATCH // 2 // processes),
    }
    return ["-m", "gelu_patch", "train", *(str(word) for key, value in flags.items() for word in (f"--{key}", value))]


def run(*commands: list[str], env: dict[str, str]) -> float:
    """Start the commands beside each other and return the seconds that they took."""
    began = time.monotonic()
    started = [subprocess.Popen(command, cwd=ROOT, env=env, stderr=subprocess.PIPE, text=True) for command in commands]
    for process in started:
        _, errors = process.communicate(timeout=PATIENCE)
        if process.returncode:
            for other in started:
                other.kill()
            raise subprocess.SubprocessError(f"exit code {process.returncode}: {errors[-1500:]}")
    return round(time.monotonic() - began, 1)


@contextlib.contextmanager
def two_hosts() -> Iterator[None]:
    """Two network namespaces with a cable between them; both are taken away afterwards."""

    def ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True, text=True)

    made: list[str] = []
    try:
        for host in HOSTS:
            ip("netns", "add", host)
            made.append(host)
        ip("link", "add", CABLES[0], "netns", HOSTS[0], "type", "veth", "peer", "name", CABLES[1], "netns", HOSTS[1])
        for host, cable, address in zip(HOSTS, CABLES, ADDRESSES, strict=True):
            ip("-n", host, "addr", "add", f"{address}/24", "dev", cable)
            ip("-n", host, "link", "set", cable, "up")
            ip("-n", host, "link", "set", "lo", "up")
        yield
    finally:
        for host in made:
            ip("netns", "delete", host)


def on_two_hosts(work: Path) -> float:
    meeting = ["--nnodes", "2", "--nproc_per_node", "2", "--rdzv_backend", "c10d", "--rdzv_id", "gelu-patch"]
    with two_hosts():
        commands = [
            [
                *("ip", "netns", "exec", host, "env", f"GLOO_SOCKET_IFNAME={cable}", f"TP_SOCKET_IFNAME={cable}"),
                *TORCHRUN,
                *meeting,
                *("--rdzv_endpoint", f"{ADDRESSES[0]}:29477", "--local_addr", address),
                # The hosts share one name, so who listens is said, not guessed.
                *("--rdzv_conf", f"is_host={int(address == ADDRESSES[0])}"),
                *training(work, "two hosts", 4),
            ]
            for host, cable, address in zip(HOSTS, CABLES, ADDRESSES, strict=True)
        ]
        return run(*commands, env=environment())


def losses(work: Path, name: str) -> list[float]:
    return [json.loads(line)["loss"] for line in (work / name / TRAINING_LOG).read_text().splitlines()]


def measure(work: Path, kinds: list[str]) -> dict[str, Any]:
    save_tiny_bert(work / "model", dropout=0.1)
    examples = tiny_examples(100)
    with (work / "data.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "text", "label"])
        writer.writerows(zip(examples.ids, examples.texts, examples.labels, strict=True))
    found: dict[str, Any] = {}
    found["one process"] = {"seconds": run([sys.executable, *training(work, "one process", 1)], env=environment())}
    expected = losses(work, "one process")
    found["one process"].update(processes=1, steps=len(expected), losses=expected)
    for kind in kinds:
        try:
            if kind == "eight processes":
                command = [*TORCHRUN, "--standalone", "--nproc_per_node", "8", *training(work, kind, 8)]
                seconds, processes = run(command, env=environment()), 8
            else:
                seconds, processes = on_two_hosts(work), 4
        except (OSError, subprocess.SubprocessError) as error:
            found[kind] = {"not run": f"{type(error).__name__}: {error}"}
            continue
        curve = losses(work, kind)
        difference = max(abs(a - b) for a, b in zip(curve, expected, strict=True))
        found[kind] = {
            "processes": processes,
            "seconds": seconds,
            "steps": len(curve),
            "largest_difference_of_a_loss": difference,
            "losses": curve,
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=["eight processes", "two hosts"])
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "processes.json")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        found = measure(Path(work), arguments.only or ["eight processes", "two hosts"])
    # With --only, what is not measured now stays.
    before = json.loads(arguments.output.read_text(encoding="utf-8"))["runs"] if arguments.output.is_file() else {}
    whole = {"created": now(), "batch": BATCH, "runs": before | found, "environment": fingerprint()}
    arguments.output.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    for kind, result in found.items():
        print(kind, {key: value for key, value in result.items() if key != "losses"})


if __name__ == "__main__":
    main()
