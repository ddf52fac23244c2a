"""Planted faults of finding, patching and saving."""

from __future__ import annotations

from tests.faults.mutant import mutant

FAULTS = {
    "ReLU computed where GELU is asked for": (
        mutant("m.F.relu"),
        "tests/patching/test_transaction.py::test_real_architectures",
    ),
    "GELU applied twice": (
        mutant("lambda x: m.gelu(m.gelu(x))"),
        "tests/patching/test_transaction.py::test_patch_and_revert",
    ),
    "ReLU under PEFT": (mutant("m.F.relu"), "tests/traps/test_peft.py"),
    "no activation between quantised Linears": (mutant("lambda x: 1.0 * x"), "tests/traps/test_quantisation.py"),
    "GELU applied twice in an exported graph": (mutant("lambda x: m.gelu(m.gelu(x))"), "tests/traps/test_onnx.py"),
    "quick GELU where erf is meant, with forward-mode derivatives": (
        mutant("lambda x: x * (1.702 * x).sigmoid()"),
        "tests/traps/test_autodiff.py",
    ),
    "ranks that are said to agree": (
        "import gelu_patch.patching.ranks as m, types;m.current_plan = lambda model: types.SimpleNamespace(changes=())",
        "tests/patching/test_ranks.py::test_names_the_ranks_and_the_first_site_that_differs",
    ),
    "a step in flight that is not seen": (
        "import gelu_patch.patching.inflight as m; m._FRAME = m._NODE = None",
        "tests/patching/test_inflight.py",
    ),
    "forward hooks that stay after a revert": (
        "import gelu_patch.patching.recording as m; m.forget = lambda module: None",
        "tests/patching/test_memory.py::test_the_hooks_are_there_while_it_is_patched_and_not_a_moment_longer",
    ),
    "a dropped owner of a shared activation": (
        "import gelu_patch.sites.find as m; real = m._site;m._site = lambda group: real(group[:1])",
        "tests/sites/test_find.py::test_sites_and_owners",
    ),
    "named_modules without duplicates": (
        "import torch.nn as nn; real = nn.Module.named_modules;"
        "nn.Module.named_modules = lambda self, memo=None, prefix='', remove_duplicate=True:"
        " real(self, memo, prefix, True)",
        "tests/sites/test_find.py::test_a_shared_parent_has_all_its_names",
    ),
    "a revert that does nothing": (
        "from gelu_patch.patching import Patch; Patch.revert = lambda self: None",
        "tests/patching/test_transaction.py::test_patch_and_revert",
    ),
    "a revert that builds equal objects instead of the identical ones": (
        "import gelu_patch.patching.transaction as m, copy; real = m._restore;"
        "m._restore = lambda owner, current, original: real(owner, current, copy.copy(original))",
        "tests/patching/test_transaction.py::test_real_architectures",
    ),
    "no roll-back": (
        "import gelu_patch.patching.transaction as m\n"
        "def commit(replacements):\n"
        "    for r in replacements: r.owner.put(r.new)\n"
        "m._commit = commit",
        "tests/patching/test_transaction.py::test_a_failure_in_the_middle_leaves_the_model_as_it_was",
    ),
    "hooks left behind": (
        "import gelu_patch.patching.handover as m; m._HOOKS = ()",
        "tests/patching/test_transaction.py::test_hooks_stay_on_the_site",
    ),
    "GELU calls not seen in a run": (
        "import gelu_patch.sites.trace as m; m._SUSPECTS.clear()",
        "tests/sites/test_trace.py::test_every_execution_is_that_of_a_site",
    ),
    "only the first expression of a class": (
        "import gelu_patch.sites.inline.owner as m; real = m.expressions_of; m.expressions_of = lambda k: real(k)[:1]",
        "tests/sites/test_trace.py::test_every_execution_is_that_of_a_site",
    ),
    "a rewritten method without its decorators": (
        "import gelu_patch.sites.inline.methods as m; m._decorated = lambda layers, new: new",
        "tests/patching/test_transaction.py::test_patch_and_revert",
    ),
    "a copy that is silently unpatched": (
        "import gelu_patch.sites.inline.rewriting as m; m._rebuild = lambda stock, keys: stock.__new__(stock)",
        "tests/sites/inline/test_rewriting.py::test_a_copy_stays_patched_and_can_be_unpatched",
    ),
    "a rewritten method that forgets a flavour": (
        "import gelu_patch.sites.inline.calls as m; m._callee = lambda node, constants: m.ast.unparse(node.func)",
        "tests/sites/inline/test_rewriting.py::test_one_of_two_expressions",
    ),
    "a proof that looks at nothing": (
        "import gelu_patch.patching.transaction as m; m.prove = lambda *a: None",
        "tests/patching/test_proof.py",
    ),
    "changed mathematics saved as a plain checkpoint": (
        "import gelu_patch.patching.saving as m; m.name_in_config = lambda model: ()",
        "tests/patching/test_persist.py::test_changed_mathematics_fails_loudly_in_plain_transformers_and_loads_here",
    ),
    "a config that names what only some of its sites run": (
        "import gelu_patch.patching.config_names as m;"
        "m.current_activations = lambda model: dict.fromkeys(['site'], model.config.hidden_act)"
        " if next(model.parameters()).is_meta else {'site': 'relu'}",
        "tests/patching/test_config_names.py::test_no_name_for_a_part_of_what_a_field_drives",
    ),
    "hidden weights without the message": (
        "import gelu_patch.patching.saving as m; m.WEIGHTS_KEY = 'note'",
        "tests/patching/test_persist.py::test_changed_mathematics_fails_loudly_in_plain_transformers_and_loads_here",
    ),
    "an edited sidecar that is believed": (
        "import gelu_patch.patching.sidecar as m; m.digest = lambda content: content.get('digest')",
        "tests/patching/test_sidecar.py::test_an_edited_file",
    ),
    "a copy that saves its original": (
        "from gelu_patch.patching.hooks import Hook; Hook.__deepcopy__ = lambda self, memo: self",
        "tests/patching/test_hooks.py::test_a_copy_saves_itself_and_not_its_original",
    ),
    "a patched part that its model does not hear of": (
        "import gelu_patch.patching.hooks as m; m.guard = lambda module: None",
        "tests/patching/test_hooks.py::test_a_model_of_which_only_a_part_was_patched_is_not_saved_as_stock",
    ),
    "a patch_act2fn block that changes a checkpoint again": (
        "import contextlib, gelu_patch.patching.loading as m; m.look_ups_give = contextlib.nullcontext",
        "tests/patching/test_loading.py::test_load_patched_gives_what_was_saved_whatever_the_block_says",
    ),
    "an adapter on any base": (
        "import gelu_patch.patching.adapters as m; m.check = lambda *arguments: None",
        "tests/patching/test_adapters.py::test_loading_on_other_mathematics_warns_and_the_advice_works",
    ),
}
