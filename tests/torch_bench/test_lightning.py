"""The callback in the real Lightning: the same training bit for bit, readings after optimiser steps, logged."""
# ruff: noqa: E402 (PyTorch is optional)

import warnings

import pytest

torch = pytest.importorskip("torch")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    pl = pytest.importorskip("lightning.pytorch")

from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from precipice._checks import InputError
from precipice.torch.lightning_callback import LightningMonitor
from torch_bench.bench import CE, data, mlp

pytestmark = pytest.mark.filterwarnings("ignore")

X, Y = data(60, classes=True)[0]


class Module(pl.LightningModule):
    def __init__(self, optimisers=1):
        super().__init__()
        self.net, self.optimisers = mlp(nn.BatchNorm1d(4)), optimisers
        self.automatic_optimization = optimisers == 1

    def forward(self, x):
        return self.net(x)

    def training_step(self, batch, index):
        loss = nn.functional.cross_entropy(self(batch[0]), batch[1])
        self.log("loss", loss)
        return loss

    def configure_optimizers(self):
        made = [torch.optim.AdamW(self.parameters(), lr=1e-2) for _ in range(self.optimisers)]
        return made[0] if self.optimisers == 1 else made


class Logger(pl.loggers.logger.DummyLogger):
    def __init__(self):
        super().__init__()
        self.rows = []

    def log_metrics(self, metrics, step=None):
        self.rows.append((step, metrics))


def fit(callbacks, accumulate=1, optimisers=1):
    torch.manual_seed(0)
    module, logger = Module(optimisers), Logger()
    trainer = pl.Trainer(
        max_epochs=3,
        accelerator="cpu",
        logger=logger,
        callbacks=callbacks,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        accumulate_grad_batches=accumulate,
    )
    trainer.fit(module, DataLoader(TensorDataset(X, Y), batch_size=12, shuffle=True))
    return module, logger


def test_accumulated_gradients_need_a_batch_size():
    with pytest.raises(InputError, match="batch_size must be given where gradients are accumulated; got None and 2"):
        fit([LightningMonitor(CE)], 2)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_training_is_the_same_and_readings_are_logged(accumulate):
    plain, _ = fit([], accumulate)
    callback = LightningMonitor(CE, every=2, first=1, budget=None, num_batches=2, batch_size=12 * accumulate)
    watched, logger = fit([callback], accumulate)
    for a, b in zip(plain.state_dict().values(), watched.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    steps = [r.step for r in callback.monitor.history.readings]
    assert steps == list(range(1, {1: 15, 2: 9}[accumulate] + 1, 2))
    logged = [(step, row["precipice/normalised_sharpness"]) for step, row in logger.rows if "precipice/edge" in row]
    assert logged == [(r.step, r["normalised_sharpness"]) for r in callback.monitor.history.readings]
    assert callback.monitor.history.setting.optimiser == "AdamW"


def test_several_optimisers_are_refused():
    with pytest.raises(InputError, match="trainer must have one optimiser to be monitored; got 2"):
        fit([LightningMonitor(CE)], optimisers=2)
