"""Lightning's Trainer, watched by a callback: python examples/torch_lightning.py picture.png [epochs]."""

import sys

import torch
from lightning.pytorch import LightningModule, Trainer
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from precipice.torch import supervised
from precipice.torch.lightning_callback import LightningMonitor


class Network(LightningModule):
    """A small network with BatchNorm."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 10))

    def forward(self, x):
        """The outputs."""
        return self.net(x)

    def training_step(self, batch, _):
        """The mean loss of a batch."""
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def configure_optimizers(self):
        """The optimiser whose edge is watched."""
        return torch.optim.AdamW(self.parameters(), lr=1e-3)


images, labels = load_digits(return_X_y=True)
data = TensorDataset(torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels))
watch = LightningMonitor(supervised(nn.functional.cross_entropy), every=20, budget=None)
epochs = int(sys.argv[2]) if len(sys.argv) > 2 else 14
trainer = Trainer(max_epochs=epochs, callbacks=[watch], accelerator="cpu", logger=False, enable_checkpointing=False)
trainer.fit(Network(), DataLoader(data, batch_size=64, shuffle=True))

watch.monitor.summary()
print(*watch.monitor.advice(), sep="\n")
watch.monitor.plot(sys.argv[1])
