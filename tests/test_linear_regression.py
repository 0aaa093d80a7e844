"""Linear regression under SGD: the process against the operator of its second moment, the reference, and bad input."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oracles import close
from precipice import dynamics, measures
from precipice._checks import InputError
from sgd_by_hand import BATCH, generator, kernel_of, masks, random_kernel

KEY = jax.random.key(0)


def process_of(outputs=1, batch=2, momentum=0.0, l2=0.0, seed=0):
    kernel = random_kernel(seed, 6)
    start = np.random.default_rng(seed + 100).normal(size=6)
    return dynamics.LinearSgd(
        jnp.asarray(kernel), 0.3, batch, jnp.asarray(start), momentum=momentum, l2=l2, num_outputs=outputs
    )


@pytest.mark.parametrize(
    ("outputs", "batch", "momentum", "l2"),
    [(1, 1, 0.0, 0.0), (1, 3, 0.0, 0.2), (1, 6, 0.4, 0.0), (2, 1, 0.6, 0.1), (3, 2, 0.5, 0.0)],
)
def test_mean_square_over_all_batches_is_the_operator(outputs, batch, momentum, l2):
    """SEOS-3, SEOS-4, SEOS-11, SEOS-13, SEOS-26: E z' z'^T, two steps on, from `moved` and from T."""
    process = process_of(outputs, batch, momentum, l2)
    examples = [np.flatnonzero(mask[::outputs]) for mask in masks(6 // outputs, batch, outputs)]
    points = [dynamics.OutputVelocity(process.start, jnp.zeros(6))]
    numbers = {"lr": 0.3, "batch_size": batch, "momentum": momentum, "l2": l2, "num_outputs": outputs}
    moments = measures.OutputMoments(jnp.outer(process.start, process.start), jnp.zeros((6, 6)), jnp.zeros((6, 6)))
    plain = moments.zz
    del numbers["momentum"]
    move = eqx.filter_jit(process.moved)
    for _ in range(2):
        points = [move(point, jnp.asarray(batch)) for point in points for batch in examples]
        moments = measures.momentum_second_moment_step(moments, process.kernel, momentum=momentum, **numbers)
        plain = measures.second_moment_step(plain, process.kernel, **numbers)
        z, v = (np.array([point[i] for point in points]) for i in (0, 1))
        close(moments.zz, z.T @ z / len(points), times=200)
        close(moments.zv, z.T @ v / len(points), times=200)
        close(moments.vv, v.T @ v / len(points), times=200)
        if momentum == 0:
            close(plain, z.T @ z / len(points), times=200)
        assert len(points) <= 20**2


def test_mean_over_all_batches_is_gradient_descent():
    """SEOS-3."""
    process = process_of(batch=2)
    params = process.init(KEY).params
    z = np.mean([process.moved(params, jnp.asarray(np.flatnonzero(m))).z for m in masks(6, 2)], axis=0)
    close(z, process.start - 0.3 * process.kernel @ process.start)


def test_batches_are_fresh_and_without_repetition():
    """SEOS-1, SEOS-2: each pair of examples equally often."""
    process = dynamics.LinearSgd(jnp.eye(5), 0.02, 2, jnp.ones(5))
    run = dynamics.simulate(
        process, key=KEY, num_steps=3000, every=1, probes=(lambda s: {"entries": jnp.log2(s.params.z)},)
    )
    chosen = np.diff(np.asarray(run.saved["entries"]), axis=0) != 0
    assert set(chosen.sum(1)) == {2}
    pairs = chosen.T.astype(float) @ chosen / 3000
    np.testing.assert_allclose(pairs[np.triu_indices(5, 1)], 1 / 10, atol=0.03)


@pytest.mark.parametrize("fraction", [0.7, 1.3])
def test_losses_of_the_reference(fraction):
    """SEOS-C07: the reference's own starts and batches, at .7 and 1.3 of the learning rate at which K is 1."""
    kernel = kernel_of("flat")
    lr = fraction * measures.stochastic_edge_lr(kernel, batch_size=BATCH)
    starts, batches = [], []
    for seed in range(3):
        r = generator(seed)
        starts.append(r.standard_normal(100))
        batches.append([r.choice(100, BATCH, replace=False) for _ in range(10_000)])

    @jax.jit
    def last_loss(start, chosen):
        process = dynamics.LinearSgd(jnp.asarray(kernel), lr, BATCH, start)
        first = process.init(KEY).params
        z = jax.lax.scan(lambda p, batch: (process.moved(p, batch), None), first, chosen)[0].z
        return jnp.mean(z**2) / 2

    losses = [float(last_loss(jnp.asarray(s), jnp.asarray(np.array(b)))) for s, b in zip(starts, batches, strict=True)]
    if fraction < 1:
        wanted = [3.778140546233739e-09, 1.057939849739038e-08, 1.1137819779522079e-09]
        np.testing.assert_allclose(losses, wanted, rtol=1e-6)
    else:
        assert not np.any(np.array(losses) < 10)


def test_its_own_batches_go_the_same_way():
    """SEOS-F1 in small: `simulate` with the process's draws."""
    kernel = jnp.asarray(kernel_of("flat"))
    edge = measures.second_moment_edge_lr(kernel, batch_size=BATCH)
    start = jnp.asarray(generator(0).standard_normal(100))

    def last(lr):
        process = dynamics.LinearSgd(kernel, lr, BATCH, start)
        run = dynamics.simulate(process, key=KEY, num_steps=4000, every=4000, probes=(lambda s: {"loss": s.loss},))
        return run.saved["loss"][-1]

    below, above = jax.jit(jax.vmap(last))(edge * jnp.array([0.7, 1.3]))
    assert below < 1e-3
    assert not above < 1e3


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"batch_size": 0}, r"batch_size must be at least 1; got 0\."),
        ({"batch_size": 4}, r"batch_size must be at most 3 \(the number of examples\); got 4\."),
        ({"momentum": 1.0}, r"momentum must lie in \[0, 1\); got 1\.0\."),
        ({"l2": -0.5}, r"l2 must be at least 0 and finite; got -0\.5\."),
        ({"lr": -1.0}, r"lr must be positive and finite; got -1\.0\."),
        ({"start": np.ones(4)}, r"kernel must be square with a row for each entry of start \(4\); got \(3, 3\)\."),
        ({"start": np.array([1.0, np.nan, 0.0])}, r"start must be finite; got NaN or inf\."),
        ({"num_outputs": 2}, r"num_outputs must divide the size of start \(3\); got 2\."),
        ({"kernel": np.arange(9.0).reshape(3, 3)}, "kernel must be symmetric"),
    ],
)
def test_bad_input(changes, words):
    given = {"kernel": np.eye(3), "lr": 0.1, "batch_size": 2, "start": np.ones(3), **changes}
    with pytest.raises(InputError, match=words):
        dynamics.LinearSgd(**given)
