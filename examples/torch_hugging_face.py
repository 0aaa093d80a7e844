"""Hugging Face's Trainer on a tiny model, watched: python examples/torch_hugging_face.py picture.png [steps]."""

import sys
import tempfile

import torch
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

from precipice.torch.hugging_face_callback import HuggingFaceMonitor

torch.manual_seed(0)
starts = torch.randint(0, 32, (512, 1))
tokens = (starts + 3 * torch.arange(16)) % 32  # count by threes
rows = [{"input_ids": row, "labels": row} for row in tokens]
ends = {"bos_token_id": None, "eos_token_id": None}
model = GPT2LMHeadModel(GPT2Config(vocab_size=32, n_positions=16, n_embd=32, n_layer=2, n_head=2, **ends))

watch = HuggingFaceMonitor(dropout="off", every=10, budget=None)
arguments = TrainingArguments(
    tempfile.mkdtemp(),
    max_steps=int(sys.argv[2]) if len(sys.argv) > 2 else 150,
    per_device_train_batch_size=32,
    learning_rate=3e-3,
    report_to=[],
    save_strategy="no",
    use_cpu=True,
)
Trainer(model, arguments, train_dataset=rows, callbacks=[watch]).train()

watch.monitor.summary()
print(*watch.monitor.advice(), sep="\n")
watch.monitor.plot(sys.argv[1])
