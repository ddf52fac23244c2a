"""What a patched model sends to the Hub."""

import pytest

from gelu_patch.errors import UnsupportedModel
from gelu_patch.patching import patch_model
from gelu_patch.patching.sidecar import SIDECAR
from tests.zoo import tiny_bert

PARTIAL = "layer.[01].*"


class Commits(list):
    """Repositories and files, and what the commits of the sidecar say."""

    def __init__(self):
        super().__init__()
        self.messages = []


@pytest.fixture
def pushed(monkeypatch):
    """What would have been sent to the Hub, in the order of the commits."""
    import huggingface_hub
    import transformers.modeling_utils as modeling
    import transformers.utils.hub

    commits = Commits()

    class Card:
        def save(self, path):
            pass

    class Repository(str):
        repo_id = "somebody/model"

    def upload(self, directory, repo_id, timestamps, **kwargs):
        import os

        commits.append((repo_id, {name: (directory, name) for name in os.listdir(directory)}))

    monkeypatch.setattr(huggingface_hub.HfApi, "create_repo", lambda *a, **k: Repository("url"))
    for mixin in type(tiny_bert()).__mro__:
        if "_upload_modified_files" in vars(mixin):
            monkeypatch.setattr(mixin, "_upload_modified_files", upload)
    monkeypatch.setattr(modeling, "create_and_tag_model_card", lambda *a, **k: Card())
    # Transformers 4
    monkeypatch.setattr(transformers.utils.hub, "create_repo", lambda **k: Repository("url"), raising=False)
    monkeypatch.setattr(
        huggingface_hub.HfApi,
        "create_commit",
        lambda self, repo_id, operations, **k: (
            commits.append((repo_id, [each.path_in_repo for each in operations]))
            or commits.messages.append(k["commit_message"])
        ),
    )
    return commits


def test_a_push_ends_with_the_sidecar(tmp_path, pushed):
    model = tiny_bert()
    patch_model(model, "relu", PARTIAL)
    model.save_pretrained(str(tmp_path / "model"), push_to_hub=True)
    (first, weights), (second, rest) = pushed
    assert first == second == "somebody/model"
    assert "model.gelu_patch.safetensors" in weights
    assert "model.safetensors" not in weights
    assert rest == [SIDECAR, "config.json"]
    assert pushed.messages == [f"Add {SIDECAR}"]


def test_a_push_has_the_message_of_the_caller(tmp_path, pushed):
    model = tiny_bert()
    patch_model(model, "relu")
    model.save_pretrained(str(tmp_path / "model"), push_to_hub=True, commit_message="ReLU")
    assert pushed.messages == ["ReLU"] * len(pushed.messages)
    assert pushed.messages


def test_a_push_as_a_pull_request_is_refused_before_anything_is_written(tmp_path):
    model = tiny_bert()
    patch_model(model, "relu")
    with pytest.raises(UnsupportedModel, match="cannot be pushed as a pull request") as caught:
        model.save_pretrained(tmp_path / "model", push_to_hub=True, create_pr=True)
    assert "upload_folder" in str(caught.value)
    assert not (tmp_path / "model").exists()
