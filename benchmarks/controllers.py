"""Controllers against tuned schedules: what holding a stability number is worth, in loss, accuracy and gradients.

Every contender trains the same network on the same batches for the same number of steps, by SGD with momentum 0.9. Each
is tuned on one seed with the same number of trials (its own single number: a learning rate, a target, a scale), by the
final training loss; the best of them is then trained on three other seeds. Beside them stand runs at values that were
fixed beforehand, without any trial. What curvature costs is counted in gradients of a batch, by XLA's flops.

Run: ``.venv/bin/python benchmarks/controllers.py --data DIR [--quick] --out DIR``; a second call goes on.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import common
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from controller_tasks import BATCH, Task, batches, rows, tasks

from precipice import dynamics, measures, monitor, problems
from precipice.monitor.controller import Stability

MOMENTUM, EVERY, GAIN = 0.9, 10, 0.3
BASE_LR = 0.01
"""What a controller's factor multiplies: it leaves this start within some 100 steps."""
TUNING_SEED, SEEDS = 100, (0, 1, 2)
RATES = tuple(0.4 / 2**k for k in range(8))
TARGETS = (0.0125, 0.025, 0.05, 0.1, 0.2, 0.35, 0.5, 0.9)
TARGETS_OF_K = (0.1, 0.2, 0.35, 0.5, 0.7, 0.9, 1.3, 2.0)
SCALES = (0.0625, 0.125, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)


class Contender(NamedTuple):
    """A rule for the learning rate with one number to be tuned.

    Args:
        grid: its trials.
        fixed: values that need no trial.
        make: ``make(task, value)``, an optax transformation.
        lr: ``lr(value, state, step)``, the learning rate that a step took, from the state after it.
        number: what is held, measured on the probe; None where nothing is, and updates see the training batch.
    """

    grid: tuple[float, ...]
    fixed: tuple[float, ...]
    make: Callable[[Task, Any], optax.GradientTransformationExtraArgs]
    lr: Callable[[Any, Any, Any], Any]
    number: Callable[[Task], Stability] | None = None


def cosine(task: Task, step: Any) -> Any:
    """From 1 to 0 over the training."""
    return 0.5 * (1 + jnp.cos(jnp.pi * jnp.asarray(step, jnp.float32) / task.num_steps))


def constant(_task: Task, value: Any) -> Any:
    return optax.with_extra_args_support(optax.sgd(value, MOMENTUM))


def annealed(task: Task, value: Any) -> Any:
    return optax.chain(optax.sgd(value, MOMENTUM), optax.scale_by_schedule(lambda step: cosine(task, step)))


def sharpness(task: Task) -> Stability:
    edge = float(np.asarray(measures.heavy_ball_edge(BASE_LR, MOMENTUM)))
    return monitor.sharpness_number(task.problem.loss, edge=edge)


def noise(task: Task) -> Stability:
    return monitor.noise_number(
        task.problem.loss, lr=BASE_LR, batch_size=BATCH, num_outputs=1, momentum=MOMENTUM, key=jax.random.key(7)
    )


def held(number: Callable[[Task], Stability]) -> Callable[[Task, Any], Any]:
    def make(task: Task, value: Any) -> Any:
        hold = monitor.hold(number(task), target=value, gain=GAIN, every=EVERY, max_factor=1000.0)
        return optax.chain(optax.sgd(BASE_LR, MOMENTUM), hold)

    return make


def held_and_annealed(task: Task, value: Any) -> Any:
    return optax.chain(held(sharpness)(task, value), optax.scale_by_schedule(lambda step: cosine(task, step)))


def curvature(task: Task, value: Any) -> Any:
    return optax.chain(optax.sgd(1.0, MOMENTUM), monitor.curvature_step(task.problem.loss, scale=value))


def contenders(task: Task) -> dict[str, Contender]:
    """All of them by name."""
    by_factor = lambda _value, state, _step: BASE_LR * state[1].factor  # noqa: E731
    return {
        "constant": Contender(RATES, (), constant, lambda value, _state, _step: value),
        "cosine": Contender(RATES, (), annealed, lambda value, _state, step: value * cosine(task, step)),
        "hold sharpness": Contender(TARGETS, (0.5, 0.9), held(sharpness), by_factor, sharpness),
        "hold sharpness, cosine": Contender(
            TARGETS,
            (0.5, 0.9),
            held_and_annealed,
            lambda _value, state, step: BASE_LR * state[0][1].factor * cosine(task, step),
            sharpness,
        ),
        "hold K": Contender(TARGETS_OF_K, (0.5, 0.9), held(noise), by_factor, noise),
        "curvature step": Contender(SCALES, (2.0,), curvature, lambda _value, state, _step: state[1].lr),
    }


def train(task: Task, contender: Contender, values: Any, seeds: Any) -> dict[str, np.ndarray]:
    """Train all pairs of value and seed in one program: final training loss, held-out accuracy, curves."""
    order = jnp.asarray(np.stack([batches(task, seed) for seed in seeds]))  # [runs, steps, batch]
    drawn = {seed: task.problem.init(jax.random.key(seed)) for seed in set(seeds)}
    start = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(drawn[seed] for seed in seeds))
    values = jnp.asarray(values, task.problem.data.x.dtype)
    params, losses, rates = _trained(task.problem, task._replace(problem=None), contender, values, start, order)
    loss, accuracy = _ends(task.problem, task.held_out, params)
    found = {"loss": loss, "accuracy": accuracy, "batch_loss": losses, "lr": rates}
    return {name: np.asarray(value, float) for name, value in found.items()}


@eqx.filter_jit
def _ends(problem: problems.Supervised, held_out: Any, params: Any) -> Any:
    def one(params):
        return problem.loss(params), problems.accuracy(problem.predict(params, held_out.x), held_out.y)

    return jax.vmap(one)(params)


@eqx.filter_jit
def _trained(problem: Any, bare: Task, contender: Contender, values: Any, start: Any, order: Any) -> Any:
    """Parameters, losses of the batches [runs, steps] and learning rates [runs, steps]."""
    task = bare._replace(problem=problem)
    probe = task.probe

    def one(value, params, order):
        transformation = contender.make(task, value)

        def step(carry, given):
            params, state = carry
            number, chosen = given
            batch = rows(problem.data, chosen)
            loss, gradient = jax.value_and_grad(problem.loss)(params, batch)
            seen = batch if contender.number is None else probe
            updates, state = transformation.update(gradient, state, params, batch=seen)
            lr = jnp.asarray(contender.lr(value, state, number), loss.dtype)
            return (optax.apply_updates(params, updates), state), (loss, lr)

        numbers = jnp.arange(len(order), dtype=jnp.int32)
        (params, _), (losses, rates) = jax.lax.scan(step, (params, transformation.init(params)), (numbers, order))
        return params, losses, rates

    return jax.vmap(one)(values, start, order)


def cost(task: Task, contender: Contender) -> float:
    """Flops of a step over those of a step of plain SGD; a held number's measurement counts for its share of steps."""
    params = task.problem.init(jax.random.key(0))
    batch, plain = rows(task.problem.data, np.arange(BATCH)), constant(task, 0.1)

    def flops(function, *args):
        analysis: Any = jax.jit(function).lower(*args).compile().cost_analysis()
        return analysis["flops"]

    def step(transformation):
        def run(params, state, batch):
            return transformation.update(jax.grad(task.problem.loss)(params, batch), state, params, batch=batch)

        return flops(run, params, transformation.init(params), batch)

    base = step(plain)
    own = contender.make(task, jnp.asarray(0.5, task.problem.data.x.dtype))
    if contender.number is None:
        return step(own) / base
    number = contender.number(task)
    return 1 + flops(number.update, params, task.probe, number.init(params)) / base / EVERY


def half_of_largest_stable(task: Task, seed: int) -> float:
    """Half the largest stable learning rate at the initialisation: a constant that needs no trial."""
    heavy_ball = dynamics.Optimiser(optax.sgd, {"learning_rate": BASE_LR, "momentum": MOMENTUM})
    params = task.problem.init(jax.random.key(seed))
    found = monitor.largest_stable_lr(
        task.problem.loss, params, task.probe, batch_size=BATCH, optimiser=heavy_ball, kind="cross-entropy"
    )
    return found.lr / 2


def compare(task: Task, name: str, contender: Contender) -> list[dict[str, Any]]:
    """A row for the tuned contender and for each of its fixed values; what else belongs beside it."""
    trials = train(task, contender, contender.grid, [TUNING_SEED] * len(contender.grid))
    losses = np.nan_to_num(trials["loss"], nan=np.inf)
    best, times = contender.grid[int(np.argmin(losses))], cost(task, contender)
    pairs = zip(contender.grid, losses, strict=True)
    print(f"{task.name}, {name}: " + ", ".join(f"{value:g}: {loss:.3g}" for value, loss in pairs), flush=True)
    values, num = (best, *contender.fixed), len(SEEDS)
    runs = train(task, contender, np.repeat(values, num), list(SEEDS) * len(values))
    found = []
    for i, value in enumerate(values):
        part = {key: one[i * num : (i + 1) * num] for key, one in runs.items()}
        found.append(row(task, name, f"{value:g}", 0 if i else len(losses), times, part))
    if name == "constant":
        rates = [half_of_largest_stable(task, seed) for seed in SEEDS]
        words = f"half of stable: {min(rates):.3g} to {max(rates):.3g}"
        found.append(row(task, name, words, 0, times, train(task, contender, rates, SEEDS)))
    if name == "cosine":
        longer = task._replace(num_steps=2 * task.num_steps)
        part = train(longer, contenders(longer)[name], [best] * num, SEEDS)
        found.append(row(longer, "cosine, twice the steps", f"{best:g}", len(losses), 2.0, part))
    return found


def kept(task: Task, name: str, contender: Contender, out: Path) -> list[dict[str, Any]]:
    """What `compare` finds, from its file in `out` where that is there."""
    path = out / f"{task.name}-{name.replace(', ', '-').replace(' ', '-')}.json"
    if not path.exists():
        out.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(compare(task, name, contender)))
    return json.loads(path.read_text())


def row(task: Task, name: str, value: str, trials: int, times: float, runs: dict[str, np.ndarray]) -> dict[str, Any]:
    """One line of the results."""
    kept = {key: one.tolist() for key, one in runs.items() if key in ("loss", "accuracy")}
    curves = {key: one[0].tolist() for key, one in runs.items() if key in ("batch_loss", "lr")}
    return {"task": task.name, "name": name, "value": value, "trials": trials, "cost": times, **kept, **curves}


def main(options: argparse.Namespace) -> None:
    """Compare on every task, print tables, keep the numbers for the picture."""
    common.print_machine("controllers against tuned schedules")
    head = ("contender", "value", "trials", "gradients a step", "final training loss", "held-out accuracy")
    for task in tasks(options):
        chosen = {name: one for name, one in contenders(task).items() if name in (options.only or contenders(task))}
        found = [one for name, contender in chosen.items() for one in kept(task, name, contender, options.out)]
        lines = [
            (
                *(one[key] for key in ("name", "value", "trials")),
                f"{one['cost']:.2f}",
                *map(common.spread, _ends_of(one)),
            )
            for one in found
        ]
        title = f"{task.name}, {task.num_steps} steps of {BATCH}: median [least, greatest] of {len(SEEDS)} seeds"
        common.print_table(title, head, lines)


def _ends_of(one: dict[str, Any]) -> tuple[list[float], list[float]]:
    return one["loss"], one["accuracy"]


if __name__ == "__main__":
    parser = common.arguments(__doc__, rounds=1)
    parser.add_argument("--tasks", nargs="+", default=["digits", "mnist", "cifar10"], help="which trainings")
    parser.add_argument("--only", nargs="+", help="which contenders")
    parser.add_argument("--out", type=Path, required=True, help="folder of the numbers; what is there is not run again")
    main(parser.parse_args())
