"""ONNX: the exported graph holds the activation that the model runs, and onnxruntime gives the model's numbers."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from tests.traps.helpers import CASES, TARGETS, Logits, assert_same, every_target, frozen_output, trap

pytest.importorskip("onnxscript")
onnxruntime = pytest.importorskip("onnxruntime")

# What is exported, and the flavour of GELU that it was built with.
FLAVOURS = {"BERT": "none", "GPT-2": "tanh", "attribute": "none", "RoBERTa": "none", "inline": "none"}


# The exporter copies a class of PyTorch that is deprecated in the same release.
@pytest.mark.filterwarnings("ignore:`isinstance.treespec, LeafSpec.` is deprecated:FutureWarning")
@trap(17)
@pytest.mark.parametrize("name", FLAVOURS)
@every_target
def test_the_graph_holds_what_the_model_runs(name, target, tmp_path):
    case = CASES[name]
    (x,) = case.inputs().values()
    program = torch.onnx.export(Logits(case.patched(target)).eval(), (x,), dynamo=True, verbose=False)
    nodes = [(node.op_type, node.attributes) for node in program.model.graph]
    count = Counter(kind for kind, _ in nodes)
    flavours = {str(attributes["approximate"].value) for kind, attributes in nodes if kind == "Gelu"}
    if target == "gelu_fused":
        assert (count["Gelu"], count["Relu"], flavours) == (case.n_sites, 0, {FLAVOURS[name]})
    else:
        assert (count["Gelu"], count["Relu"]) == (0, case.n_sites)
    assert count["Erf"] == 0

    program.save(tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    found = torch.from_numpy(session.run(None, {session.get_inputs()[0].name: x.numpy()})[0])
    assert_same(found, frozen_output(case.stock(TARGETS[target]), case.inputs()), tolerance=1e-4)
