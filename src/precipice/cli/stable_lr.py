"""``precipice stable-lr``: before any training, the learning rate beyond which its first steps are unstable."""

import json
import math
from typing import Annotated, Any

import typer

from precipice._checks import InputError
from precipice.cli import text
from precipice.cli.optimisers import NAMES, Chosen, chosen
from precipice.cli.options import Assignments, Data
from precipice.cli.starts import DATA, Network, Start, is_torch, jax_parts, named_start, network_start
from precipice.cli.status import reported


@reported
def stable_lr(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help=f"{', '.join(DATA)}: a built-in network; or MODULE:FUNCTION.")
    ],
    optimiser: Annotated[str, typer.Option("--optimiser", metavar="NAME", help=f"{', '.join(NAMES)}.")] = "sgd",
    momentum: Annotated[
        float | None, typer.Option("--momentum", help="sgd: 0; nesterov: 0.9; rmsprop: 0.", show_default=False)
    ] = None,
    beta1: Annotated[float | None, typer.Option("--beta1", help="adam, adamw: 0.9.", show_default=False)] = None,
    beta2: Annotated[float | None, typer.Option("--beta2", help="adam, adamw: 0.999.", show_default=False)] = None,
    weight_decay: Annotated[
        float | None, typer.Option("--weight-decay", help="adamw, decoupled: 0.0001.", show_default=False)
    ] = None,
    batch_size: Annotated[
        int, typer.Option("--batch-size", metavar="B", help="Of the training (JAX; PyTorch: the first batch's).")
    ] = 64,
    seed: Annotated[int, typer.Option("--seed", help="Of the initialisation; FUNCTION is called with it.")] = 0,
    assignments: Assignments = None,
    trust: Annotated[bool, typer.Option("--trust", help="Run MODULE:FUNCTION from outside precipice.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    data: Data = None,
) -> None:
    """Print the largest stable learning rate of a model at its initialisation.

    By curvature: the optimiser's edge against the largest Hessian eigenvalue.
    By noise, for JAX models: where the trace estimate of K is 1.
    Nothing is trained. Sharpness moves later on: the number is a scale.

    FUNCTION(seed) returns a problems.Supervised, or (loss, params, data)
    with loss(params, batch), or for PyTorch (model, loss, batches) with
    loss(model, batch). Its module is looked for in this folder, too.

    precipice stable-lr mnist --optimiser adam --set width=256
    precipice stable-lr mymodule:make --trust --momentum 0.9
    """
    numbers = {"momentum": momentum, "beta1": beta1, "beta2": beta2, "weight_decay": weight_decay}
    asked = chosen(optimiser, numbers)
    start = _start(model, seed, assignments or [], trust, data)
    found = _found(start, asked, batch_size, seed)
    if as_json:
        finite = {key: value for key, value in found["numbers"].items() if math.isfinite(value)}
        typer.echo(json.dumps({"model": start.words, "optimiser": asked.words, **finite}, indent=2))
        return
    shown = [(name.replace("_", " "), f"{value:.5g}") for name, value in found["numbers"].items()]
    text.lines([("model", start.words), ("optimiser", asked.words), *shown])
    for one in found["advice"]:
        typer.echo(f"\n{one.text}\n  Why: {one.reason}\n  But: {one.caveat}")


def _start(model: str, seed: int, assignments: list[str], trust: bool, data: Any) -> Start:
    from precipice.papers.settings import changed

    if ":" in model:
        if assignments:
            raise InputError(f"--set must be given with a built-in network; got it with {model!r}.")
        return named_start(model, seed, trust)
    if model not in DATA:
        raise InputError(f"MODEL must be {', '.join(DATA)} or MODULE:FUNCTION; got {model!r}.")
    return network_start(changed(Network(model), assignments), data)


def _found(start: Start, asked: Chosen, batch_size: int, seed: int) -> dict[str, Any]:
    from precipice._checks import one_line

    try:
        return _torch(start, asked) if is_torch(start.made) else _jax(start, asked, batch_size, seed)
    except InputError:
        raise
    except Exception as error:
        if ":" not in start.words:  # a built-in network: not the user's doing
            raise
        raise InputError(
            f"{start.words} must return a loss that runs on its parameters and data; it raised {one_line(error)}."
        ) from error


def _jax(start: Start, asked: Chosen, batch_size: int, seed: int) -> dict[str, Any]:
    import jax

    from precipice import monitor

    with jax.enable_x64(start.x64):
        loss, params, data, known = jax_parts(start, seed)
        optimiser, key = asked.for_jax(), jax.random.key(seed)
        found = monitor.largest_stable_lr(
            loss, params, data, batch_size=batch_size, optimiser=optimiser, key=key, **known
        )
    numbers = {
        "largest_stable_lr": found.lr,
        "error": found.error,
        "lr_at_K_of_1": found.noise_lr,
        "its_standard_error": found.noise_error,
    }
    return {"numbers": numbers, "advice": found.advice}


def _torch(start: Start, asked: Chosen) -> dict[str, Any]:
    from precipice.torch import largest_stable_lr

    model, loss, batches = start.made
    found = largest_stable_lr(model, loss, batches, asked.for_torch(model.parameters()))
    return {"numbers": {"largest_stable_lr": found.value}, "advice": (found,)}
