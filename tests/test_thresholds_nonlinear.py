"""Optimisers whose step is not linear in the gradient: SAM and clipping at a given gradient norm, sign descent not."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import pytest

from precipice.measures import clipped_edge, heavy_ball_edge, sam_edge


def moved(params: Any, update: Any) -> Any:
    return params + update


def sam_run(base, curvature, radius, start, num_steps):
    """Gradient norms along a run of optax's SAM with an ascent step of length `radius`, on one parameter."""
    adversary = optax.chain(optax.contrib.normalize(), optax.sgd(radius))
    made = optax.contrib.sam(base, adversary, opaque_mode=True)
    params, norms = jnp.array([start]), []
    memory = made.init(params)
    for _ in range(num_steps):
        norms.append(float(curvature * jnp.abs(params[0])))
        update, memory = made.update(curvature * params, memory, params, grad_fn=lambda params, _: curvature * params)
        params = moved(params, update)
    return norms


@pytest.mark.parametrize(("lr", "radius", "norm"), [(0.1, 0.05, 1.0), (0.5, 0.2, 0.03)])
def test_sam_shrinks_and_grows_a_gradient_of_the_given_norm(lr, radius, norm):
    edge = float(sam_edge(heavy_ball_edge(lr), radius, norm))
    assert edge < 2 / lr
    ratio = {}
    for factor in (0.98, 1.02):
        first, second = sam_run(optax.sgd(lr), factor * edge, radius, norm / (factor * edge), 2)
        ratio[factor] = second / first
    assert ratio[0.98] < 0.99
    assert ratio[1.02] > 1.01


@pytest.mark.parametrize("momentum", [None, 0.5])
def test_sam_ends_in_a_cycle_at_its_edge(momentum):
    base_edge = heavy_ball_edge(0.1, momentum or 0.0)
    curvature = 0.5 * base_edge
    norms = sam_run(optax.sgd(0.1, momentum), curvature, 0.05, 0.01, 120)
    assert norms[-1] == pytest.approx(norms[-2], rel=1e-9)
    assert float(sam_edge(base_edge, 0.05, norms[-1])) == pytest.approx(curvature, rel=1e-8)


def test_clipping_moves_the_edge_with_the_gradient():
    lr, most, norm = 0.1, 2.0, 6.0
    edge = float(clipped_edge(heavy_ball_edge(lr), norm, most))
    assert edge == pytest.approx(60, rel=1e-14)
    rule = optax.chain(optax.clip_by_global_norm(most), optax.sgd(lr))

    def ratio(curvature, norm):
        params = jnp.array([norm / curvature])
        update, _ = rule.update(curvature * params, rule.init(params), params)
        return float(jnp.abs(moved(params, update))[0] / params[0])

    assert ratio(0.98 * edge, norm) == pytest.approx(0.96, rel=1e-12)
    assert ratio(1.02 * edge, norm) == pytest.approx(1.04, rel=1e-12)
    assert float(clipped_edge(20.0, 1.0, most)) == 20
    assert ratio(0.98 * 20, 1.0) < 1 < ratio(1.02 * 20, 1.0)


@pytest.mark.parametrize("rule", [optax.sign_sgd(0.1), optax.lion(0.1, weight_decay=0.0)], ids=["sign", "lion"])
def test_sign_descent_has_no_marginal_curvature(rule):
    """The reason of the refusal: from 1e-3 to 1e6 the run ends in one and the same cycle of some lr."""
    ends = []
    for curvature in (1e-3, 1.0, 1e6):

        def step(carry, _, curvature=curvature):
            params, memory = carry
            update, memory = rule.update(curvature * params, memory, params)
            return (moved(params, update), memory), jnp.abs(params[0])

        start = jnp.array([1.03])
        sizes = jax.lax.scan(step, (start, rule.init(start)), None, length=400)[1]
        ends.append(float(jnp.max(sizes[-100:])))
    assert 0.01 < ends[0] < 2
    np.testing.assert_allclose(ends, ends[0], rtol=1e-9)
