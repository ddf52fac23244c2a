"""Planted faults of training, tasks and runs."""

from __future__ import annotations

FAULTS = {
    "a finished run of another recipe that is taken for this one": (
        "import gelu_patch.runs.seeds as m; m.differences = lambda there, here: []",
        "tests/runs/test_ablation.py::test_a_folder_with_another_recipe_is_refused_before_anything_is_run",
    ),
    "chance that depends on the process": (
        "import gelu_patch.training.step as m, os; from accelerate.utils import set_seed;"
        "m.set_randomness = lambda *place: set_seed(int.from_bytes(os.urandom(4), 'big'))",
        "tests/training/test_resume.py::test_stopped_and_gone_on_is_the_same_bit_by_bit",
    ),
    "random states that are left as they are": (
        "import gelu_patch.training.step as m; m.set_randomness = lambda *place: None",
        "tests/training/test_resume.py::test_stopped_and_gone_on_is_the_same_bit_by_bit",
    ),
    "an optimizer that begins anew": (
        "import gelu_patch.training.state as m; m._with_state = lambda model, optimizer, state: optimizer.state_dict()",
        "tests/training/test_resume.py::test_stopped_and_gone_on_is_the_same_bit_by_bit",
    ),
    "a manifest that nobody reads": (
        "import gelu_patch.training.checkpoints as m; m.Checkpoint.check = lambda self: None",
        "tests/training/test_checkpoints.py::test_a_damaged_one_is_passed_over_and_named",
    ),
    "old checkpoints removed before the new one has its name": (
        "import gelu_patch.training.checkpoints as m; real = m.Checkpoints._fill\n"
        "def fill(self, directory, content, step):\n"
        "    [m.shutil.rmtree(each.path) for each in self._all()[:-1]]\n"
        "    real(self, directory, content, step)\n"
        "m.Checkpoints._fill = fill",
        "tests/training/test_checkpoints.py::test_a_full_disk_costs_the_new_checkpoint_only",
    ),
    "a checkpoint under its own name while it is written": (
        "import gelu_patch.training.checkpoints as m; real = m.Checkpoints._temporary\n"
        "m.Checkpoints._temporary = lambda self, path, why: path if why == 'new' else real(self, path, why)",
        "tests/training/test_checkpoints.py",
    ),
    "a checkpoint of any run": (
        "import gelu_patch.training.saving as m; m.check_same_run = lambda *a: None",
        "tests/training/test_resume.py::test_a_checkpoint_of_another_run_is_refused_with_the_difference",
    ),
    "another order of the data on each rank": (
        "import gelu_patch.training.order as m, os; real = m.epoch_steps\n"
        "def steps(lengths, recipe, epoch, **k):\n"
        "    seed = recipe.seed + int(os.environ.get('RANK', 0))\n"
        "    return real(lengths, recipe.model_copy(update={'seed': seed}), epoch, **k)\n"
        "m.epoch_steps = steps\n"
        # The job's processes do not load pytest's plugins.
        "import sys, pathlib; here = pathlib.Path(__file__); (here.parent / 'sitecustomize.py').write_text("
        "'import os\\nif \"RANK\" in os.environ: import planted_fault\\n')\n"
        "os.environ['PYTHONPATH'] = f'{here.parent}:{os.environ[\"PYTHONPATH\"]}'",
        "tests/training/test_distributed.py::test_two_processes_have_the_losses_and_weights_of_one",
    ),
    "padding that is counted as a token": (
        "import gelu_patch.tasks.documents as m, torch; real = m.EncodedDocuments.batch\n"
        "def batch(self, indices):\n"
        "    found = real(self, indices); outside = found['attention_mask'] == 0\n"
        "    found['labels'][outside] = found['input_ids'][outside]; return found\n"
        "m.EncodedDocuments.batch = batch",
        "tests/tasks/test_language_models.py::test_causal_losses_are_those_of_single_tokens",
    ),
    "a token that is predicted in two windows": (
        "import gelu_patch.tasks.causal_lm as m; real = m.windows;"
        "m.windows = lambda n, **k: (w._replace(first=max(1, w.first - 1)) if w.begin else w for w in real(n, **k))",
        "tests/tasks/test_language_models.py::test_causal_losses_are_those_of_single_tokens",
    ),
    "a model that sees its own answers": (
        "from gelu_patch.tasks.causal_lm import CausalLanguageModelling as m; m.check = lambda *arguments: None",
        "tests/tasks/test_language_models.py::test_a_model_that_looks_ahead_is_no_decoder",
    ),
    "other tokens hidden in each process": (
        "import gelu_patch.tasks.masked_lm as m, random; chance = random.SystemRandom();"
        "m.hidden_places = lambda key, n, seed: set(chance.sample(range(n), max(1, round(0.15 * n))))",
        "tests/tasks/test_documents.py::test_masking_depends_on_the_id_and_the_seed_alone",
    ),
    "a shard that is lost": (
        "from gelu_patch.runs.shards import ShardStore as m; m.flush = lambda self: self._pending.clear()",
        "tests/runs/test_resume.py::test_interrupted_and_gone_on_with",
    ),
    "an answer that is lost on the way": (
        "from gelu_patch.tasks.answers import AnswerSheet as m; import numpy as np;"
        "m.complete = lambda self: self.of(np.flatnonzero(self.answered))",
        "tests/runs/test_resume.py::test_a_lost_answer_is_noticed",
    ),
    "an order that depends on the rank": (
        "from gelu_patch.runs.shards import ShardStore as m; real = m.add;"
        "m.add = lambda self, number, items, answers:"
        " real(self, number, items, {n: rows[::-1] if number % 2 else rows for n, rows in answers.items()})",
        "tests/runs/test_resume.py::test_the_shares_of_two_processes_make_the_whole",
    ),
    "a rerun with another patch that goes on": (
        "import gelu_patch.runs.identity as m; real = m.identity_of;"
        "fake = lambda prepared, **k: {n: v for n, v in real(prepared, **k).items() if n != 'patch'};"
        "import gelu_patch.runs.evaluate as e; e.identity_of = fake",
        "tests/runs/test_resume.py::test_another_evaluation_in_the_same_folder_is_refused",
    ),
    "a library that two processes choose differently": (
        "import contextlib, gelu_patch.tasks.inference as m; m.products_by_torch = contextlib.nullcontext",
        "tests/tasks/test_inference.py::test_products_are_by_one_library",
    ),
    "training in another order for each arm": (
        "import gelu_patch.training.order as m, random; real = m.epoch_steps;"
        "m.epoch_steps = lambda *a, **k: random.SystemRandom().sample(s := real(*a, **k), len(s))",
        "tests/training/test_loop.py",
    ),
    "counting what a step keeps in a way that keeps a patch from keeping less": (
        "import gelu_patch.timing.memory as m; from torch.autograd.graph import saved_tensors_hooks\n"
        "m.observing = lambda see: saved_tensors_hooks(lambda t: (see(t), t)[1], lambda t: t)",
        "tests/runs/test_training_memory.py::test_stock_against_patched_in_the_report",
    ),
    "a launcher that is believed": (
        "import gelu_patch.training.launch as m; m._claims = lambda asked, environment: iter(())",
        "tests/training/test_launch.py::test_one_process_where_several_were_asked_for",
    ),
}
