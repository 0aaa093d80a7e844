"""Bad input: what cannot be right is refused in one sentence with the way out."""
# ruff: noqa: E402 (PyTorch is optional)

import re

import pytest

torch = pytest.importorskip("torch")

from torch import nn

from precipice._checks import InputError, NonFiniteError
from precipice.torch import (
    Accuracy,
    Block,
    GaussNewton,
    Hessian,
    Monitor,
    Objective,
    batch_sharpness,
    eigs,
    gauss_newton_trace,
    gradient_noise_scale,
    probe_batches,
    supervised,
    trace,
)
from precipice.torch.traces import categorical_targets
from torch_bench.bench import CE, MSE, Checkpointed, data, mlp, seeded

BINARY = nn.functional.binary_cross_entropy_with_logits


def refuse(sentence, function, kind=InputError):
    with pytest.raises(kind, match=re.escape(sentence)) as caught:
        function()
    text = str(caught.value)
    assert text.endswith((".", "?"))
    assert "\n" not in text


def objective(model=None, loss=MSE, batches=None, **kwargs):
    return Objective(model or seeded(mlp), loss, batches or data(6), **kwargs)


class FullyShardedDataParallel(nn.Linear):
    """Has the name of PyTorch's own."""


class Drops(nn.Module):
    """Random numbers drawn by hand."""

    def __init__(self):
        super().__init__()
        self.net = mlp()

    def forward(self, x):
        y = self.net(x)
        return y * torch.rand_like(y) if self.training else y


class Halves(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = mlp()

    def forward(self, x):
        return self.net(x).bfloat16().float()


def autocast_inside(model, batch):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return nn.functional.mse_loss(model(batch[0]).float(), batch[1])


def frozen():
    return mlp().requires_grad_(False)


def test_models():
    refuse("model must be a torch.nn.Module; got int", lambda: objective(3))
    refuse("got FSDP (measure with DDP", lambda: objective(FullyShardedDataParallel(3, 2)))
    refuse("model must have a parameter that requires a gradient; got 4, all frozen.", lambda: objective(frozen()))
    refuse("got weight without", lambda: objective(nn.LazyLinear(2)))
    refuse("got weight without", lambda: objective(nn.Linear(3, 2, device="meta")))
    refuse("got weight of torch.complex64", lambda: objective(nn.Linear(3, 2, dtype=torch.complex64)))


def test_dropout_needs_a_policy():
    refuse("dropout must be 'off'", lambda: objective(mlp(nn.Dropout(0.5))))
    refuse("it drew by aten.", lambda: objective(Drops()))
    refuse("dropout='off' reaches PyTorch's own dropout only", lambda: objective(Drops(), dropout="off"))
    refuse("dropout 'of' is unknown; did you mean off?", lambda: objective(dropout="of"))
    objective(Drops(), dropout="fixed")
    objective(Drops().eval())
    objective(mlp(nn.Dropout(0.5)).eval())


def test_precision_and_checkpoints():
    refuse("loss must be computed in full precision", lambda: objective(loss=autocast_inside))
    refuse("loss must be computed in full precision", lambda: objective(Halves()))
    refuse("(pass use_reentrant=False).", lambda: objective(Checkpointed(reentrant=True)))


class Bag(nn.Module):
    def __init__(self, **options):
        super().__init__()
        kind = nn.Embedding if options.get("sparse") else nn.EmbeddingBag
        self.embed, self.read = kind(5, 3, **options), nn.Linear(3, 2)

    def forward(self, x):
        h = self.embed(x.abs().long().clamp(max=4))
        return self.read(h.mean(1) if h.ndim == 3 else h)


def test_models_without_a_second_derivative():
    refuse("got EmbeddingBag (use nn.Embedding and a mean or sum over the bag).", lambda: objective(Bag(mode="sum")))
    refuse("got sparse ones (pass sparse=False).", lambda: Hessian(objective(Bag(sparse=True))))


def test_losses():
    refuse("got reduction='sum'.", lambda: supervised(nn.MSELoss(reduction="sum")))
    total = lambda m, b: (m(b[0]) - b[1]).square().sum()  # noqa: E731
    refuse("loss must be the mean over a batch's examples; got a sum", lambda: objective(loss=total))
    beside = lambda m, b: total(m, b) + sum(p.square().sum() for p in m.parameters())  # noqa: E731
    refuse("got a sum: it is ", lambda: objective(loss=beside))
    refuse("got a sum: it is ", lambda: objective(mlp(nn.Dropout(0.5)), total, dropout="fixed"))
    of_outputs = lambda outputs, targets: (outputs - targets).square().mean()  # noqa: E731
    refuse("loss must run as loss(model, batch) on each batch of data; it raised", lambda: objective(loss=of_outputs))
    x, y = data(6)[0]
    refuse("batch must be (inputs, targets) for a supervised loss; got one tensor", lambda: objective(batches=[x, y]))
    objective(loss=lambda m, b: nn.functional.mse_loss(m(b[0]), b[1]) + sum(p.norm() for p in m.parameters()))
    objective(loss=lambda m, b: m(b[0]).sum(1).logsumexp(0))  # grows too, but as a contrastive loss: examples meet
    wrap = "(wrap it: supervised(criterion))."
    refuse(f"got the criterion CrossEntropyLoss {wrap}", lambda: objective(loss=nn.CrossEntropyLoss()))
    refuse(f"got the criterion mse_loss {wrap}", lambda: objective(loss=nn.functional.mse_loss))
    refuse(f"got the criterion binary_cross_entropy_with_logits {wrap}", lambda: objective(loss=BINARY))
    refuse("loss must be a function of (model, batch); got float.", lambda: objective(loss=0.5))
    refuse("got (6, 2).", lambda: objective(loss=lambda m, b: m(b[0])))
    refuse("got NoneType.", lambda: objective(loss=lambda m, b: None))
    refuse("got dict.", lambda: objective(loss=lambda m, b: {"loss": {}}))
    gauss_newton = lambda: GaussNewton(objective(loss=lambda m, b: m(b[0]).square().mean()))  # noqa: E731
    refuse("must be split at the model's outputs", gauss_newton)


def test_not_finite():
    broken = seeded(mlp)
    with torch.no_grad():
        broken[0].weight[0, 0] = float("nan")
    refuse("loss must be finite; got nan (check parameters and data).", lambda: objective(broken), NonFiniteError)
    x, y = data(4)[0]
    refuse("loss must be finite", lambda: objective(batches=[(x * float("inf"), y)]), NonFiniteError)
    whole = objective()
    with torch.no_grad():
        whole.model[0].bias[0] = float("inf")
        whole.model[3 - 1].weight[0] = float("nan")
    refuse("loss must be finite; got nan", lambda: Hessian(whole.now()), NonFiniteError)


def test_data():
    refuse(
        "since an iterator would lose the batches that are measured; got generator",
        lambda: probe_batches((b for b in data(3)), 1),
    )
    refuse("since an iterator would lose", lambda: probe_batches(iter(data(3)), 1))
    refuse("data must hold at least one batch; got none", lambda: probe_batches([], 1))
    refuse("got a tuple of tensors, which is one batch: hand [(inputs,", lambda: probe_batches(data(3)[0], 1))
    refuse("(one batch: [batch]).", lambda: probe_batches(torch.ones(3), 1))
    refuse("num of the probe's batches must be at least 1; got 0.", lambda: probe_batches(data(3), 0))
    refuse(
        "data must be on the model's device (cpu) or on the CPU; got meta.",
        lambda: objective(batches=[(torch.ones(2, 3, device="meta"),)]),
    )
    refuse("chunk must be at least 1; got 0.", lambda: objective(chunk=0))
    refuse("needs whole batches; got 2.", lambda: objective(mlp(nn.BatchNorm1d(4)), chunk=2))
    refuse("batch must hold a tensor with an axis of examples", lambda: objective(batches=[{"x": 3}]))
    refuse("weight of a batch must not be negative", lambda: objective(weight=lambda batch: -1))


def test_solves():
    op = Hessian(objective())
    refuse("num must be at least 1; got 0.", lambda: eigs(op, num=0))
    refuse("basis must be at least 1; got 0.", lambda: eigs(op, basis=0))
    refuse("basis must be at least 4; got 3.", lambda: Accuracy(basis=3))
    refuse("num must be at most 26", lambda: eigs(op, num=27))
    refuse("rtol must be positive", lambda: eigs(op, rtol=0))
    refuse("starts must be at least 1; got 0.", lambda: eigs(op, starts=0))
    refuse("end 'largets' is unknown; did you mean largest?", lambda: eigs(op, end="largets"))
    refuse("num of a trace must be at least 2; got 1.", lambda: trace(op, num=1))
    refuse("select must accept at least one parameter", lambda: Block(op, op.objective.indices(lambda name: False)))
    refuse("must hold at least 2 batches of one size; got 1", lambda: batch_sharpness(objective()))
    refuse("got one that cuts them.", lambda: batch_sharpness(objective(batches=data(6, 6), chunk=3)))
    refuse(
        "must be of the training's batch size (12, accumulated parts and all ranks together)",
        lambda: batch_sharpness(objective(batches=data(6, 6)), batch_size=12),
    )
    refuse(
        "must hold at least 3 batches of one size; got 2",
        lambda: gradient_noise_scale(objective(batches=data(5, 5, 2))),
    )
    mixing = objective(mlp(nn.BatchNorm1d(4)), CE, data(6, classes=True))
    refuse("model must not mix examples", lambda: gauss_newton_trace(mixing, categorical_targets))


def test_optimisers():
    model = seeded(mlp)

    def monitor(optimizer, **kwargs):
        return Monitor(model, MSE, data(6), optimizer, **kwargs)

    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    refuse("optimizer must be a torch.optim.Optimizer; got NoneType.", lambda: monitor(None))
    refuse("optimiser must be one whose threshold is known", lambda: monitor(torch.optim.Adadelta(model.parameters())))
    refuse("measures must hold at least one function; got none.", lambda: monitor(sgd, measures=()))
    refuse("got one that holds none of them.", lambda: monitor(torch.optim.SGD(mlp().parameters(), lr=0.1)))
    refuse("budget must be positive", lambda: monitor(sgd, budget=0))
    refuse("budget must be below 1, a share of the training's time; got 5.", lambda: monitor(sgd, budget=5))
    refuse("every must be at least 1; got 0.", lambda: monitor(sgd, every=0))
    refuse("batch_size must be at least 1; got 0.", lambda: monitor(sgd, batch_size=0))
    sgd.param_groups[0]["maximize"] = True
    refuse("maximize must be off", lambda: monitor(sgd))
