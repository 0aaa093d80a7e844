"""``precipice stable-lr``: users' quadratics have the edge of their optimiser, and what is no model is refused."""

import importlib.util
import json
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from typer.testing import CliRunner

from precipice import curvature, measures, problems
from precipice.cli import app
from precipice.cli.optimisers import NAMES, chosen
from precipice.cli.starts import Network, network_start

MODULE = '''
import pathlib

import jax
import jax.numpy as jnp

from precipice import problems

pathlib.Path("imported").write_text("yes")


def quadratic(seed):
    """Mean of (x w)^2/2 over x = (2, 1): the Hessian is diag(4, 1)/2, its trace 5/2, whatever the seed."""
    x = jnp.diag(jnp.array([2.0, 1.0]))
    return lambda w, x: jnp.mean(jnp.sum((x * w[None]) ** 2, axis=1)) / 2, jnp.ones(2) + seed, x


def problem(seed):
    network = problems.FullyConnected((1, 1))
    return problems.Supervised(network, problems.chebyshev(2, 8, dtype=jnp.float32), problems.mean_half_squared_error)


def misfit(seed):
    return lambda w, x: jnp.mean(x @ w), jnp.ones(3), jnp.ones((4, 2))


def number(seed):
    return 3.0


def broken(seed):
    raise RuntimeError("no luck")


def in_torch(seed):
    import torch
    from precipice.torch import supervised

    model, x = torch.nn.Linear(2, 1, bias=False), torch.diag(torch.tensor([2.0, 1.0]))
    return model, supervised(torch.nn.MSELoss()), [(x, torch.zeros(2, 1))]


NOTHING = 3
'''


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory that holds ``user_models.py``."""
    (tmp_path / "user_models.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PRECIPICE_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    sys.modules.pop("user_models", None)


def invoke(*args):
    return CliRunner(env={"COLUMNS": "250"}).invoke(app, ["stable-lr", *(str(arg) for arg in args)])


def numbers(*args):
    """What the command prints as JSON."""
    result = invoke(*args, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.parametrize(
    ("options", "edge"),
    [(("--momentum", 0.9), 3.8 / 2), (("--optimiser", "nesterov", "--momentum", 0.5), 3 / (2 * 2))],
)
def test_a_quadratic_has_its_edge(folder, options, edge):
    found = numbers("user_models:quadratic", "--trust", "--batch-size", 2, *options)
    assert found["largest_stable_lr"] == pytest.approx(edge, rel=1e-5)
    assert found["lr_at_K_of_1"] == pytest.approx(
        2 * (1 - options[-1]) * 2 / 2.5, rel=1e-5
    )  # random signs are exact here


def test_a_pytorch_model_has_its_edge(folder):
    pytest.importorskip("torch")
    found = numbers("user_models:in_torch", "--trust", "--momentum", 0.5)
    assert found["largest_stable_lr"] == pytest.approx(3 / 4, rel=1e-4)  # the mean is without the half: Hessian 4


@pytest.mark.long
def test_a_network_of_the_command_is_that_of_the_library(folder):
    settings = ("--set", "num_examples=30", "--set", "width=3", "--set", "loss=cross-entropy", "--set", "depth=1")
    found = numbers("digits", "--batch-size", 10, "--seed", 3, *settings)
    network = Network("digits", num_examples=30, width=3, depth=1, loss="cross-entropy")
    problem = network_start(network, None).made
    assert problem.output_loss is problems.mean_softmax_cross_entropy
    hessian = curvature.Hessian(problem.loss, problem.init(jax.random.key(3))).dense()
    top = float(np.linalg.eigvalsh(np.asarray(hessian, float))[-1])
    assert found["largest_stable_lr"] == pytest.approx(2 / top, rel=1e-3)


def test_what_is_printed(folder):
    result = invoke("user_models:problem", "--trust", "--batch-size", 4, "--optimiser", "adamw", "--beta1", 0.5)
    assert result.exit_code == 0, result.output
    for words in (
        "adamw, beta1 0.5, beta2 0.999, weight_decay 0.0001",
        "largest stable lr",
        "Why: ",
        "But: ",
        "squared",
    ):
        assert words in result.stdout


def test_nothing_is_imported_without_trust(folder):
    result = invoke("user_models:quadratic")
    assert result.exit_code == 2
    assert "MODEL 'user_models:quadratic' must lie in precipice unless it is trusted (--trust" in result.stderr
    assert not (folder / "imported").exists()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("nothing",), "MODEL must be digits, mnist, cifar10 or MODULE:FUNCTION; got 'nothing'."),
        (("user_models:absent", "--trust"), "MODEL 'user_models:absent' must be found in its module; "),
        (("absent_models:make", "--trust"), "must name a module; No module named 'absent_models'."),
        (("user_models:make()", "--trust"), "must be module:function; got 'user_models:make()'."),
        (("user_models:NOTHING", "--trust"), "must be a function; 'user_models:NOTHING' is none."),
        (
            ("user_models:number", "--trust"),
            "user_models:number must return a problems.Supervised, (loss, params, data)",
        ),
        (("user_models:broken", "--trust"), "must run when called with the seed 0; it raised RuntimeError: no luck"),
        (
            ("user_models:quadratic", "--trust", "--set", "width=3"),
            "--set must be given with a built-in network; got it",
        ),
        (("digits", "--optimiser", "adm"), "optimiser 'adm' is unknown; did you mean adam"),
        (("digits", "--beta1", "0.5"), "--beta1 must not be given with sgd, which takes --momentum; got 0.5."),
        (("digits", "--optimiser", "adagrad", "--momentum", "0.5"), "with adagrad, which takes no number; got 0.5."),
        (("digits", "--momentum", "1"), "--momentum must lie in [0, 1); got 1."),
        (("digits", "--optimiser", "adamw", "--weight-decay", "-1"), "--weight-decay must be at least 0; got -1."),
        (("digits", "--set", "loss=hinge"), "loss 'hinge' is unknown; known: cross-entropy, squared."),
        (("digits", "--set", "widht=3"), "setting 'widht' is unknown; did you mean width?"),
        (("digits", "--set", "num_examples=0"), "num_examples must be at least 1; got 0."),
        (("digits", "--set", "num_examples=8"), "batch size"),
        (("cifar10", "--data", "."), "CIFAR-10"),
    ],
)
def test_bad_input(folder, args, words):
    result = invoke(*args)
    assert result.exit_code == 2, result.output
    assert words in result.stderr
    last = result.stderr.splitlines()[-1]
    assert last.startswith("error: ")
    assert "Traceback" not in result.output


EDGES = {
    "sgd": 2e3,
    "nesterov": 2 * 1.9 / 2.8e-3,
    "adam": 38e3,
    "adamw": (2 - 1e-7) * 19e3,
    "rmsprop": 2e3,
    "adagrad": 2e3,
}
"""By the table of docs/thresholds.md at the placeholder, lr = 1e-3."""


@pytest.mark.parametrize("name", NAMES)
def test_both_libraries_get_an_optimiser_of_this_edge(name):
    asked, params = chosen(name, {}), jnp.array([1.0, -2.0])
    for_jax = asked.for_jax()
    with jax.numpy_dtype_promotion("standard"):
        memory = for_jax.update(jnp.array([0.5, 1.0]), for_jax.init(params), params)[1]
    assert float(measures.optax_threshold(for_jax, memory).edge) == pytest.approx(EDGES[name], rel=1e-9)
    if importlib.util.find_spec("torch") is None:
        return
    torch: Any = importlib.import_module("torch")
    weight = torch.nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))
    optimizer = asked.for_torch([weight])
    weight.grad = torch.tensor([0.5, 1.0], dtype=torch.float64)
    optimizer.step()
    (threshold,) = measures.torch_thresholds(type(optimizer).__name__, optimizer.param_groups, optimizer.state)
    assert threshold.edge == pytest.approx(EDGES[name], rel=1e-9)
