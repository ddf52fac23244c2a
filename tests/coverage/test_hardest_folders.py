"""The fast subset of benchmarks/coverage.py: one class of each folder whose GELUs are the hardest to find.

Two thirds of them run a GELU that is no module: in an LM head, after a convolution, in an expert, in a function of
the model file. The others hold one object in several places, or run it in parts of a layer only.
"""

from __future__ import annotations

import pytest
import torch
import transformers

from benchmarks.coverage_lib.catalogue import find_class, prepare_transformers
from benchmarks.coverage_lib.check import TOLERANCE, check_sample
from benchmarks.coverage_lib.sample import find_sample

# The version in constraints.txt, which has all of them.
PINNED = "5.23.0"

HARDEST = (
    ("albert", "AlbertForMaskedLM"),
    ("big_bird", "BigBirdForSequenceClassification"),
    ("bloom", "BloomForCausalLM"),
    ("bridgetower", "BridgeTowerForMaskedLM"),
    ("camembert", "CamembertForMaskedLM"),
    ("clvp", "ClvpModelForConditionalGeneration"),
    ("deberta", "DebertaForSequenceClassification"),
    ("deberta_v2", "DebertaV2ForSequenceClassification"),
    ("esm", "EsmForMaskedLM"),
    ("evolla", "EvollaSaProtProteinEncoder"),
    ("falcon", "FalconForCausalLM"),
    ("flaubert", "FlaubertWithLMHeadModel"),
    ("funnel", "FunnelForSequenceClassification"),
    ("gemma3n", "Gemma3nForCausalLM"),
    ("gpt_oss", "GptOssForCausalLM"),
    ("granite_docling", "GraniteDoclingForConditionalGeneration"),
    ("ibert", "IBertForMaskedLM"),
    ("lxmert", "LxmertForPreTraining"),
    ("minimax_m3_vl", "MiniMaxM3SparseForConditionalGeneration"),
    ("modernbert", "ModernBertForMaskedLM"),
    ("openai", "OpenAIGPTLMHeadModel"),
    ("openai_privacy_filter", "OpenAIPrivacyFilterForTokenClassification"),
    ("owlvit", "OwlViTForObjectDetection"),
    ("patchtsmixer", "PatchTSMixerForPrediction"),
    ("qwen2_vl", "Qwen2VLForConditionalGeneration"),
    ("roberta", "RobertaForMaskedLM"),
    ("sam3", "Sam3Model"),
    ("vits", "VitsModel"),
    ("whisper", "WhisperForConditionalGeneration"),
    ("xlm", "XLMWithLMHeadModel"),
    ("xlm_roberta", "XLMRobertaForMaskedLM"),
)


@pytest.fixture(scope="module", autouse=True)
def _transformers():
    prepare_transformers()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # tiny tensors; more threads are slower
    yield
    torch.set_num_threads(threads)


@pytest.mark.filterwarnings("ignore")  # what Transformers remarks on tiny sizes is not ours to mend
@pytest.mark.parametrize(("folder", "name"), HARDEST, ids=[name for _, name in HARDEST])
def test_every_gelu_is_swapped_and_put_back(folder, name):
    try:
        model_class = find_class(folder, name)
    except LookupError as error:
        if transformers.__version__ == PINNED:  # elsewhere a class may be missing: too new, or gone
            raise
        pytest.skip(str(error))
    row = check_sample(find_sample(model_class.load()))
    assert row["status"] == "executed", row.get("reason")
    relu, exact = row["relu"], row["exact"]
    assert not relu["unlisted"]
    assert relu["changed"] or not relu["replaced"]
    assert exact["difference"] <= TOLERANCE
    assert relu["reverted"]
    assert exact["reverted"]
    assert relu["bystander"]
    assert relu["bystander_after"]
    assert exact["bystander"]
