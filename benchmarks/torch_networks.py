"""What monitor_peers.py measures: PyTorch networks on real data, the road to a clustered edge, references in float64.

The references share no code with precipice: double backward or `torch.func` on a float64 copy, LAPACK or ARPACK.
"""

import copy
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy.sparse.linalg
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from precipice import problems

torch.set_num_threads(1)  # small products; on a busy machine a second thread is waited for


class Problem(NamedTuple):
    """A model, a mean loss of its outputs and the targets, and one batch."""

    model: nn.Module
    criterion: nn.Module
    x: torch.Tensor
    y: torch.Tensor

    def copied(self) -> "Problem":
        """The same with a model of its own, for a library that may leave it changed."""
        return self._replace(model=copy.deepcopy(self.model))

    def loss(self) -> torch.Tensor:
        """The mean loss."""
        return self.criterion(self.model(self.x), self.y)


def digits_network(num_examples: int, width: int, seed: int) -> Problem:
    """A tanh network 64-width-width-10 on scikit-learn's digits, mean squared error on one-hot targets."""
    images, labels = load_digits(return_X_y=True)
    x = torch.tensor((images - images.mean()) / images.std(), dtype=torch.float32)[:num_examples]
    y = nn.functional.one_hot(torch.tensor(labels[:num_examples]), 10).float()
    torch.manual_seed(seed)
    layers = (nn.Linear(64, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 10))
    return Problem(nn.Sequential(*layers), nn.MSELoss(), x, y)


def fully_connected(num_examples: int, width: int, data_dir: Path | None) -> Problem:
    """A tanh network 3072-width-width-10 on CIFAR-10, cross-entropy; 100 steps of gradient descent."""
    x, y = _cifar(num_examples, data_dir)
    torch.manual_seed(0)
    layers = (nn.Linear(3072, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 10))
    problem = Problem(nn.Sequential(*layers), nn.CrossEntropyLoss(), x, y)
    return trained(problem, torch.optim.SGD(problem.model.parameters(), lr=0.05), 100)


class _Block(nn.Module):
    def __init__(self, inside: int, outside: int, stride: int):
        super().__init__()
        self.first, self.norm = nn.Conv2d(inside, outside, 3, stride, 1, bias=False), nn.BatchNorm2d(outside)
        self.second, self.last = nn.Conv2d(outside, outside, 3, 1, 1, bias=False), nn.BatchNorm2d(outside)
        self.shortcut = nn.Identity() if inside == outside else nn.Conv2d(inside, outside, 1, stride, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.last(self.second(torch.relu(self.norm(self.first(x)))))
        return torch.relu(h + self.shortcut(x))


def small_resnet(num_examples: int, data_dir: Path | None) -> Problem:
    """Three residual blocks of 8, 16 and 32 channels with BatchNorm, in training mode, on CIFAR-10; 40 steps of SGD."""
    x, y = _cifar(num_examples, data_dir)
    torch.manual_seed(0)
    body = (nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
    blocks = (_Block(8, 8, 1), _Block(8, 16, 2), _Block(16, 32, 2))
    model = nn.Sequential(*body, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))
    problem = Problem(model, nn.CrossEntropyLoss(), x.reshape(-1, 3, 32, 32), y)
    return trained(problem, torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9), 40)


class _Layer(nn.Module):
    """A layer of a transformer with PyTorch's default attention."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads, self.qkv, self.out = heads, nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.qkv(self.before(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).flatten(2))
        return x + self.mlp(self.between(x))


class _Transformer(nn.Module):
    def __init__(self, vocabulary: int, length: int, width: int = 32, heads: int = 4, depth: int = 2):
        super().__init__()
        self.embed, self.place = nn.Embedding(vocabulary, width), nn.Parameter(0.02 * torch.randn(length, width))
        self.layers = nn.Sequential(*(_Layer(width, heads) for _ in range(depth)))
        self.read = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, vocabulary))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.read(self.layers(self.embed(x) + self.place)).transpose(1, 2)  # [n, vocabulary, length]


def small_transformer(num_examples: int, length: int) -> Problem:
    """Two layers of width 32 that predict the next character of this package's licence; 60 steps of Adam."""
    text = (Path(__file__).parents[1] / "LICENSE").read_text()
    letters = {letter: number for number, letter in enumerate(sorted(set(text)))}
    numbers = torch.tensor([letters[letter] for letter in text])
    rows = numbers[: num_examples * (length + 1)].reshape(num_examples, length + 1)
    torch.manual_seed(0)
    problem = Problem(_Transformer(len(letters), length), nn.CrossEntropyLoss(), rows[:, :-1], rows[:, 1:])
    return trained(problem, torch.optim.Adam(problem.model.parameters(), lr=3e-3), 60)


def _cifar(num_examples: int, data_dir: Path | None) -> tuple[torch.Tensor, torch.Tensor]:
    data = problems.cifar10(num_examples, data_dir=data_dir, preprocess=problems.standardise_channels)
    x, y = np.array(data.x, np.float32), np.array(data.y)
    return torch.tensor(x), torch.tensor(y.argmax(1))


def trained(problem: Problem, optimizer: torch.optim.Optimizer, num_steps: int) -> Problem:
    """The problem after some steps on its batch."""
    for _ in range(num_steps):
        optimizer.zero_grad(set_to_none=True)
        problem.loss().backward()
        optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return problem


def to_the_edge(problem: Problem, optimizer: torch.optim.SGD, *, growth: float, warm: int) -> Iterator[int]:
    """Full-batch gradient descent whose rate grows by `growth` a step for `warm` steps and then stays.

    A growing rate gathers several eigenvalues at 2/lr. Yields the number of steps taken, without end.
    """
    for step in itertools.count():
        yield step
        optimizer.zero_grad(set_to_none=True)
        problem.loss().backward()
        optimizer.step()
        optimizer.param_groups[0]["lr"] *= growth if step < warm else 1.0


def dense_spectrum(problem: Problem) -> np.ndarray:
    """All Hessian eigenvalues, descending: the dense matrix in float64 by `torch.func`, then LAPACK."""
    params = {name: p.detach().double() for name, p in problem.model.named_parameters()}
    sizes, x = [p.numel() for p in params.values()], problem.x.double()
    y = problem.y.double() if problem.y.is_floating_point() else problem.y

    def loss(flat: torch.Tensor) -> torch.Tensor:
        parts = zip(params.items(), flat.split(sizes), strict=True)
        point = {name: piece.view_as(p) for (name, p), piece in parts}
        return problem.criterion(torch.func.functional_call(problem.model, point, (x,)), y)

    start = torch.cat([p.reshape(-1) for p in params.values()])
    matrix = torch.func.jacrev(torch.func.grad(loss), chunk_size=64)(start)
    return np.linalg.eigvalsh(matrix.numpy())[::-1]


def converged_top(problem: Problem, num: int = 4) -> np.ndarray:
    """The top Hessian eigenvalues, descending: double backward in float64, ARPACK to 1e-10."""
    exact = problem.copied()
    model, x = exact.model.double(), exact.x.double() if exact.x.is_floating_point() else exact.x
    y = exact.y.double() if exact.y.is_floating_point() else exact.y
    params = [p for p in model.parameters() if p.requires_grad]
    with sdpa_kernel(SDPBackend.MATH):
        gradient = torch.autograd.grad(exact.criterion(model(x), y), params, create_graph=True)
    flat = torch.cat([g.reshape(-1) for g in gradient])

    def product(v: np.ndarray) -> np.ndarray:
        images = torch.autograd.grad(flat, params, torch.from_numpy(np.ravel(v).copy()), retain_graph=True)
        return torch.cat([h.reshape(-1) for h in images]).numpy()

    operator = scipy.sparse.linalg.LinearOperator((len(flat), len(flat)), matvec=product, dtype=np.float64)
    v0 = np.random.default_rng(0).standard_normal(len(flat))
    values = scipy.sparse.linalg.eigsh(operator, k=num, which="LA", tol=1e-10, ncv=40, v0=v0, return_eigenvectors=False)
    return np.sort(values)[::-1]
