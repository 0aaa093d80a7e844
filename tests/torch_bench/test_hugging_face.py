"""The callback in the real Trainer: tiny models from a config, the training the same bit for bit, curvature right."""
# ruff: noqa: E402 (PyTorch is optional)

import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")

from long_rows import some
from precipice.torch import Hessian, Objective, hugging_face_loss, num_labels
from precipice.torch.hugging_face_callback import HuggingFaceMonitor
from precipice.torch.measures import EVERYTHING
from torch_bench.truth import assert_same, dense_hessian, snapshot

pytestmark = pytest.mark.filterwarnings("ignore")


def gpt(**kwargs):
    torch.manual_seed(0)
    config = transformers.GPT2Config(vocab_size=7, n_positions=6, n_embd=4, n_layer=1, n_head=2, n_inner=4, **kwargs)
    return transformers.GPT2LMHeadModel(config)


def bert():
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=7,
        hidden_size=4,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=4,
        num_labels=3,
        max_position_embeddings=8,
    )
    return transformers.BertForSequenceClassification(config)


def rows(num, padded=False):
    g = torch.Generator().manual_seed(1)
    ids = torch.randint(1, 7, (num, 6), generator=g)  # BERT never trains the embedding of token 0
    labels = ids.clone()
    if padded:
        labels[: num // 2, 3:] = -100
    return [{"input_ids": i, "labels": t} for i, t in zip(ids, labels, strict=True)]


def fit(callbacks, tmp_path, model=None, **kwargs):
    arguments = transformers.TrainingArguments(
        str(tmp_path),
        max_steps=12,
        per_device_train_batch_size=4,
        learning_rate=1e-2,
        warmup_steps=2,
        report_to=[],
        use_cpu=True,
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
        **kwargs,
    )
    model = model or gpt()
    transformers.Trainer(model, arguments, train_dataset=rows(20), callbacks=callbacks).train()
    return model


@pytest.mark.parametrize(
    "kwargs",
    some([{}, {"gradient_accumulation_steps": 2}, {"bf16": True}], {}, {"bf16": True}),
    ids=["plain", "accumulation", "bf16"],
)
def test_training_is_the_same_bit_for_bit(kwargs, tmp_path):
    plain = fit([], tmp_path, **kwargs)
    callback = HuggingFaceMonitor(dropout="off", every=3, first=1, budget=None, num_batches=3, measures=EVERYTHING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        watched = fit([callback], tmp_path, **kwargs)
    for (name, a), b in zip(plain.state_dict().items(), watched.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    history = callback.monitor.history
    assert [r.step for r in history.readings][-1] >= 10
    assert history.setting.batch_size == 4 * kwargs.get("gradient_accumulation_steps", 1)
    assert history.setting.mode == "in training mode, dropout off"


def causal_loss(model, batch):
    """The model's own loss, which it computes in float32, in the precision of its weights."""
    logits, labels = model(batch["input_ids"]).logits[:, :-1], batch["labels"][:, 1:]
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())


@pytest.mark.parametrize("make", some([gpt, bert], gpt))
def test_hugging_face_models_are_measured_rightly(make):
    model = make()
    if make is gpt:  # tied embedding and read-out, default attention
        batches = [torch.utils.data.default_collate(rows(4, padded=True)), torch.utils.data.default_collate(rows(2))]
    else:
        batches = [{**torch.utils.data.default_collate(rows(n)), "labels": torch.arange(n) % 3} for n in (4, 2)]
    weights = np.array([num_labels(batch) for batch in batches], float)
    model.eval()
    truth = dense_hessian(
        model, causal_loss if make is gpt else hugging_face_loss, batches, weights / weights.sum(), step=2e-4
    )  # embeddings of size 0.02
    model.train()
    before = snapshot(model)
    objective = Objective(model, hugging_face_loss, batches, dropout="off", dtype=torch.float64, weight=num_labels)
    op = Hessian(objective)
    measured = torch.stack([op.mv(row) for row in torch.eye(op.size, dtype=op.dtype)], 1).numpy()
    np.testing.assert_allclose(measured, truth, atol=1e-6 * abs(truth).max(), rtol=0)
    assert_same(before, snapshot(model))
    float32 = Hessian(Objective(model, hugging_face_loss, batches, dropout="off", weight=num_labels))
    assert float32.dtype == torch.float32
