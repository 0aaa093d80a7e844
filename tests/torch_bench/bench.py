"""The hazards of the bench: each a model, a loss and batches, whose Hessian must be right and whose model untouched."""

from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from precipice.torch import supervised

MSE, CE = supervised(nn.MSELoss()), supervised(nn.CrossEntropyLoss())


class Case(NamedTuple):
    """One row of the bench."""

    model: nn.Module
    loss: Any
    batches: list
    dropout: str | None = None
    weight: Any = None
    chunk: int | None = None


def data(*sizes, features=3, outputs=2, classes=False, seed=0):
    g = torch.Generator().manual_seed(seed)

    def one(n):
        x = torch.randn(n, features, generator=g)
        return x, torch.randint(0, outputs, (n,), generator=g) if classes else torch.randn(n, outputs, generator=g)

    return [one(n) for n in sizes]


def seeded(make):
    torch.manual_seed(1)
    return make()


def mlp(*middle):
    return nn.Sequential(nn.Linear(3, 4), *middle, nn.Tanh(), nn.Linear(4, 2))


class Attention(nn.Module):
    """Default scaled-dot-product attention on sequences of three tokens."""

    def __init__(self):
        super().__init__()
        self.into, self.qkv, self.out = nn.Linear(1, 4), nn.Linear(4, 12), nn.Linear(4, 2)

    def forward(self, x):
        q, k, v = self.qkv(self.into(x[..., None])).unflatten(-1, (3, 2, 2)).permute(2, 0, 3, 1, 4)
        return self.out(nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2).mean(1))


class Dropouts(nn.Module):
    """Dropout of every kind: modules, functions, in attention, in a recurrent network."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(1, 2, 2, batch_first=True, dropout=0.5)
        self.attention = nn.MultiheadAttention(2, 1, dropout=0.5, batch_first=True)
        self.alpha, self.read = nn.AlphaDropout(0.5), nn.Linear(2, 2)

    def forward(self, x):
        h = self.rnn(x[..., None])[0]
        h = h + self.attention(h, h, h, need_weights=False)[0] + self.attention(h, h, h)[0]
        p = 0.5 if self.training else 0.0
        h = nn.functional.scaled_dot_product_attention(h[:, None], h[:, None], h[:, None], dropout_p=p)[:, 0]
        h = nn.functional.dropout1d(torch.dropout(h, 0.5, self.training), training=self.training)
        return self.read(self.alpha(nn.functional.dropout(h, training=self.training)).mean(1))


class Unused(nn.Module):
    def __init__(self):
        super().__init__()
        self.used, self.unused = mlp(), nn.Linear(2, 2)

    def forward(self, x):
        return self.used(x)


class Tied(nn.Module):
    """An embedding and a read-out that share their weight."""

    def __init__(self):
        super().__init__()
        self.embed, self.mix, self.read = nn.Embedding(5, 3), nn.Linear(3, 3), nn.Linear(3, 5, bias=False)
        self.read.weight = self.embed.weight

    def forward(self, x):
        return self.read(torch.tanh(self.mix(self.embed(x))))


class Checkpointed(nn.Module):
    """A checkpointed block with BatchNorm: recomputing must see the copies, and leave the statistics."""

    def __init__(self, reentrant=False):
        super().__init__()
        self.reentrant, self.first = reentrant, nn.Linear(3, 4)
        self.block = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Tanh())
        self.last = nn.Linear(4, 2)

    def forward(self, x):
        return self.last(checkpoint(self.block, self.first(x), use_reentrant=self.reentrant))


class Dictionary(nn.Module):
    """Reads a batch by names and returns an output with a loss, as Hugging Face models do."""

    def __init__(self):
        super().__init__()
        self.net = mlp()

    def forward(self, inputs, labels=None):
        logits = self.net(inputs)
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


def frozen():
    model = mlp()
    model[0].weight.requires_grad_(False)
    return model


def tokens():
    g = torch.Generator().manual_seed(0)
    return [(torch.randint(0, 5, (n,), generator=g), torch.randint(0, 5, (n,), generator=g)) for n in (6, 3)]


def dictionaries():
    return [{"inputs": x, "labels": y} for x, y in data(5, 3, classes=True)]


CASES = {
    "plain": lambda: Case(seeded(mlp), MSE, data(8)),
    "cross-entropy": lambda: Case(seeded(mlp), CE, data(8, classes=True)),
    "uneven batches": lambda: Case(seeded(mlp), MSE, data(7, 5, 1)),
    "chunks": lambda: Case(seeded(mlp), MSE, data(7, 5, 1), chunk=3),
    "BatchNorm in training mode": lambda: Case(seeded(lambda: mlp(nn.BatchNorm1d(4))), MSE, data(8, 5)),
    "BatchNorm in eval mode": lambda: Case(seeded(lambda: mlp(nn.BatchNorm1d(4))).eval(), MSE, data(8, 5)),
    "LayerNorm and GELU": lambda: Case(seeded(lambda: mlp(nn.LayerNorm(4), nn.GELU())), MSE, data(8)),
    "dropout off": lambda: Case(seeded(lambda: mlp(nn.Dropout(0.5), nn.BatchNorm1d(4))), MSE, data(8), "off"),
    "dropout of every kind off": lambda: Case(seeded(Dropouts), MSE, data(4), "off"),
    "dropout of every kind fixed": lambda: Case(seeded(Dropouts), MSE, data(4), "fixed"),
    "dropout fixed": lambda: Case(seeded(lambda: mlp(nn.Dropout(0.5))), MSE, data(8, 5), "fixed"),
    "attention": lambda: Case(seeded(Attention), MSE, data(6)),
    "unused parameters": lambda: Case(seeded(Unused), MSE, data(6)),
    "frozen parameters": lambda: Case(seeded(frozen), MSE, data(6)),
    "tied weights": lambda: Case(seeded(Tied), CE, tokens()),
    "dict batches, loss in the output": lambda: Case(
        seeded(Dictionary), lambda model, batch: model(**batch), dictionaries()
    ),
    "loss as a function with a penalty": lambda: Case(
        seeded(mlp),
        lambda m, b: nn.functional.mse_loss(m(b[0]), b[1]) + 0.1 * sum(p.square().sum() for p in m.parameters()),
        data(6),
    ),
    "weights of the caller": lambda: Case(seeded(mlp), MSE, data(6, 2), weight=lambda batch: len(batch[0]) ** 2),
    "checkpointing": lambda: Case(seeded(Checkpointed), MSE, data(8)),
    "convolution": lambda: Case(
        seeded(
            lambda: nn.Sequential(nn.Unflatten(1, (1, 3)), nn.Conv1d(1, 3, 2), nn.Tanh(), nn.Flatten(), nn.Linear(6, 2))
        ),
        MSE,
        data(6),
    ),
    "recurrent": lambda: Case(seeded(Recurrent), MSE, data(6)),
    "linear loss": lambda: Case(seeded(lambda: nn.Linear(3, 2)), lambda m, b: m(b[0]).mean(), data(6)),
}


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn, self.read = nn.LSTM(1, 2, batch_first=True), nn.Linear(2, 2)

    def forward(self, x):
        return self.read(self.rnn(x[..., None])[0][:, -1])


class Truth(NamedTuple):
    """A case and what its measurement should say."""

    case: Case
    weights: list
    kwargs: dict


def prepared(name):
    return prepared_case(CASES[name]())


def prepared_case(case):
    count = case.weight or (lambda batch: len(next(iter(batch.values() if isinstance(batch, dict) else batch))))
    counts = [count(batch) for batch in case.batches]
    kwargs = {"dropout": case.dropout, "chunk": case.chunk}
    if case.weight:
        kwargs["weight"] = case.weight
    return Truth(case, [c / sum(counts) for c in counts], kwargs)


def truth_model(case):
    """The model as the truth sees it: in eval mode where dropout is off, except for BatchNorm."""
    if case.dropout == "off":
        for module in case.model.modules():
            module.training = isinstance(module, nn.BatchNorm1d)
    return case.model
