"""The second moment's operator T against all batches written out, its radius by three routes, and its edges."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oracles import close
from precipice import curvature, measures
from precipice._checks import InputError
from precipice.measures.second_moment_radius import _root_above, modes_for, response_norm
from sgd_by_hand import BATCH, SETTINGS, enumerated, kernel_of, radius, random_kernel, step_matrices

KEY = jax.random.key(0)

CASES = [  # examples, outputs, batch, momentum, l2
    (4, 1, 1, None, 0.0),
    (4, 1, 2, None, 0.0),
    (4, 1, 3, None, 0.3),
    (4, 1, 4, None, 0.0),
    (3, 2, 1, None, 0.0),
    (3, 2, 2, None, 0.2),
    (3, 2, 3, None, 0.0),
    (4, 1, 1, 0.5, 0.0),
    (4, 1, 3, 0.9, 0.2),
    (3, 2, 2, 0.7, 0.0),
    (1, 2, 1, 0.3, 0.0),
    (1, 1, 1, None, 0.0),
]

each_case = pytest.mark.parametrize(("examples", "outputs", "batch", "momentum", "l2"), CASES)


@each_case
@pytest.mark.parametrize("lr", [0.1, 0.7])
def test_the_operator_is_the_mean_over_all_batches(examples, outputs, batch, momentum, l2, lr):
    kernel = random_kernel(examples, examples * outputs)
    got = measures.dense_second_moment(
        jnp.asarray(kernel), lr=lr, batch_size=batch, momentum=momentum, l2=l2, num_outputs=outputs
    )
    wanted = enumerated(kernel, lr, batch, momentum=momentum, l2=l2, num_outputs=outputs)
    n = len(kernel) * (1 if momentum is None else 2)
    swapped = np.arange(n**2).reshape(n, n).T.ravel()
    even = (np.eye(n**2) + np.eye(n**2)[swapped]) / 2  # on symmetric moments: the heavy ball's blocks are mirrored
    close(np.asarray(got) @ even, wanted @ even, times=500)


@each_case
def test_radius_is_that_of_the_enumerated_operator(examples, outputs, batch, momentum, l2):
    kernel = random_kernel(examples + 10, examples * outputs)
    for lr in (0.05, 0.4, 1.5):
        got = measures.second_moment_radius(
            jnp.asarray(kernel), lr=lr, batch_size=batch, momentum=momentum or 0.0, l2=l2, num_outputs=outputs
        )
        wanted = radius(enumerated(kernel, lr, batch, momentum=momentum, l2=l2, num_outputs=outputs))
        np.testing.assert_allclose(got, wanted, rtol=3e-8 if batch == examples and momentum else 1e-9)


@pytest.mark.parametrize(("outputs", "l2"), [(1, 0.0), (2, 0.0), (1, 0.3), (3, 0.1)])
def test_symmetric_form_has_the_spectrum_of_the_operator(outputs, l2):
    kernel = random_kernel(3, 6)
    op = measures.SecondMoment(jnp.asarray(kernel), lr=0.3, batch_size=2 - outputs // 3, l2=l2, num_outputs=outputs)
    symmetric = np.linalg.eigvalsh(np.asarray(op.dense()))
    matrix = enumerated(kernel, 0.3, 2 - outputs // 3, l2=l2, num_outputs=outputs)
    basis = []  # of the symmetric matrices
    for i in range(6):
        for j in range(i, 6):
            b = np.zeros((6, 6))
            b[i, j] = b[j, i] = 1 if i == j else 0.5**0.5
            basis.append(b.ravel())
    basis = np.array(basis)
    wanted = np.linalg.eigvals(basis @ matrix @ basis.T)
    assert np.abs(wanted.imag).max() < 1e-10
    padded = np.sort(np.concatenate([wanted.real, np.zeros(36 - 21)]))  # the skew part, which the operator drops
    np.testing.assert_allclose(symmetric, padded, atol=1e-10)


def test_products_are_symmetric_and_those_of_the_dense_matrix():
    op = measures.SecondMoment(jnp.asarray(random_kernel(5, 6)), lr=0.3, batch_size=2, num_outputs=2)
    rng = np.random.default_rng(0)
    u, v = jnp.asarray(rng.normal(size=(6, 6))), jnp.asarray(rng.normal(size=(6, 6)))
    np.testing.assert_allclose(jnp.sum(u * op.mv(v)), jnp.sum(v * op.mv(u)), rtol=1e-12)
    close(op.mv(v), np.asarray(op.dense() @ v.ravel()).reshape(6, 6))


def test_modes_of_eigenvalue_zero_are_left_out():
    """On the kernel's range the enumerated operator has the same radius; off it nothing moves."""
    kernel = random_kernel(2, 5, rank=3)
    values, vectors = np.linalg.eigh(kernel)
    moving = vectors[:, values > 1e-10]
    both = np.kron(moving, moving)
    for lr, batch in ((0.2, 1), (0.5, 2), (1.2, 3)):
        wanted = radius(both.T @ enumerated(kernel, lr, batch) @ both)
        np.testing.assert_allclose(measures.second_moment_radius(kernel, lr=lr, batch_size=batch), wanted, rtol=1e-9)
        op = measures.SecondMoment(jnp.asarray(kernel), lr=lr, batch_size=batch)
        np.testing.assert_allclose(np.linalg.eigvalsh(op.dense())[-1], wanted, rtol=1e-9)


@pytest.mark.parametrize("setting", SETTINGS)
def test_lanczos_on_the_operator_agrees_with_the_root_solve(setting):
    kernel = kernel_of(setting)
    lr = 1.1 * measures.second_moment_edge_lr(kernel, batch_size=BATCH)
    op = measures.SecondMoment(jnp.asarray(kernel), lr=lr, batch_size=BATCH)
    found = curvature.eigs(op, key=KEY, rtol=1e-11)
    assert found.converged
    root = measures.second_moment_radius(kernel, lr=lr, batch_size=BATCH)
    assert root > 1.005
    np.testing.assert_allclose(found.values[0], root, rtol=1e-9)


@pytest.mark.parametrize(
    ("lr", "wanted"), [(0.023790975476426387, 0.999333300667552), (0.07137292642927917, 0.998003061271816)]
)
def test_radius_of_the_reference(lr, wanted):
    """SEOS-C02."""
    np.testing.assert_allclose(
        measures.second_moment_radius(kernel_of("flat"), lr=lr, batch_size=BATCH), wanted, rtol=2e-6
    )


@pytest.mark.parametrize(
    ("momentum", "lr", "wanted"),
    [
        (0.0, 0.0417347856520663, 1.1118824018321098),
        (0.5, 0.02086739282603315, 1.048500108116785),
        (0.9, 0.004173478565206629, 1.0131219982403672),
    ],
)
def test_radius_with_momentum_of_the_reference(momentum, lr, wanted):
    """SEOS-C04; and by power iteration of the moments, which shares nothing with the root solve."""
    kernel = jnp.asarray(kernel_of("flat"))
    got = measures.second_moment_radius(kernel, lr=2.4 * lr, batch_size=BATCH, momentum=momentum)
    np.testing.assert_allclose(got, wanted, rtol=1e-7)

    def step(carry, _):
        moments, _ = carry
        new = measures.momentum_second_moment_step(moments, kernel, lr=2.4 * lr, batch_size=BATCH, momentum=momentum)
        growth = jnp.trace(new.zz) / jnp.trace(moments.zz)
        return (jax.tree.map(lambda a: a / jnp.trace(new.zz), new), growth), growth

    start = measures.OutputMoments(jnp.eye(100), jnp.zeros((100, 100)), jnp.zeros((100, 100)))
    (_, growth), _ = jax.lax.scan(step, (start, jnp.asarray(1.0)), None, length=1500)
    np.testing.assert_allclose(growth, wanted, rtol=1e-7)


@pytest.mark.parametrize(
    ("setting", "edge", "norm"),
    [("flat", 0.07710074932589506, 0.9700436340110858), ("dispersed", 2.7874382095813948, 0.9734994880686565)],
)
def test_edge_of_the_reference(setting, edge, norm):
    """SEOS-C10, and U1: in the localized setting with unit variance K is .961 at the edge."""
    kernel = kernel_of(setting)
    got = measures.second_moment_edge_lr(kernel, batch_size=BATCH)
    np.testing.assert_allclose(got, edge, rtol=1e-5)
    np.testing.assert_allclose(measures.noise_kernel_norm(kernel, lr=got, batch_size=BATCH), norm, rtol=1e-5)
    np.testing.assert_allclose(measures.second_moment_radius(kernel, lr=got, batch_size=BATCH), 1, rtol=1e-10)


def test_edge_of_the_localized_setting():
    """U1 of the errata."""
    kernel = kernel_of("localized")
    lr = measures.second_moment_edge_lr(kernel, batch_size=BATCH)
    np.testing.assert_allclose(measures.noise_kernel_norm(kernel, lr=lr, batch_size=BATCH), 0.961, atol=5e-4)


@pytest.mark.parametrize(("momentum", "edge"), [(0.0, 0.07710), (0.5, 0.04110), (0.9, 0.00852)])
def test_edges_with_momentum(momentum, edge):
    """ERR-S10, to the digits given."""
    got = measures.second_moment_edge_lr(kernel_of("flat"), batch_size=BATCH, momentum=momentum)
    np.testing.assert_allclose(got, edge, atol=6e-6)


@pytest.mark.parametrize(("momentum", "l2", "outputs"), [(0.0, 0.0, 1), (0.6, 0.0, 1), (0.0, 0.1, 2), (0.8, 0.2, 1)])
def test_norm_is_one_where_the_radius_is(momentum, l2, outputs):
    for seed in range(3):
        kernel = random_kernel(seed, 8)
        numbers = {"batch_size": 1, "momentum": momentum, "l2": l2, "num_outputs": outputs}
        edge = measures.second_moment_edge_lr(kernel, **numbers)
        wanted = enumerated(kernel, edge, 1, momentum=momentum or None, l2=l2, num_outputs=outputs)
        np.testing.assert_allclose(radius(wanted), 1, rtol=1e-8)
        np.testing.assert_allclose(measures.second_moment_norm(kernel, lr=edge, **numbers), 1, rtol=1e-10)
        block = measures.block_noise_kernel_norm(kernel, lr=edge, **numbers)
        assert block <= 1 + 1e-12  # terms of pairs of modes only add


def test_norm_of_larger_kernels_by_lanczos():
    """Beyond 64 blocks the matrix is not made; the same kernel both ways."""
    kernel = jnp.asarray(kernel_of("flat", size=260, width=300))
    modes = modes_for(kernel, 0.02, 4, 0.3, 0.0, 1)
    by_lanczos = response_norm(modes, 4, 0.3, 0.0)(0.02, 0.01)[0]
    values, vectors = np.asarray(modes.eigenvalues), np.asarray(modes.vectors)[:, 0]
    wanted = _dense_norm(values, vectors, 0.02, 4, 0.3, 1.01)
    np.testing.assert_allclose(by_lanczos, wanted, rtol=1e-9)


def _dense_norm(values, vectors, lr, batch_size, momentum, r):
    """sum over pairs of W (v o v')(v o v')^T, with w from a 4 x 4 solve for each pair."""
    n, size = vectors.shape[0], values.size
    s = (n - batch_size) / (batch_size * (n - 1))
    step = np.array([[[1 - lr * x, lr * momentum], [-x, momentum]] for x in values])
    pairs = np.einsum("aij,bkl->abikjl", step, step).reshape(size, size, 4, 4)
    kick = np.kron([lr, 1.0], [lr, 1.0])
    w = np.linalg.solve(r * np.eye(4) - pairs, np.broadcast_to(kick, (size, size, 4))[..., None])[..., 0, 0]
    l2 = np.outer(values, values)
    weights = s * n * l2 * w / (1 + s * l2 * w)
    matrix = np.empty((n, n))
    for a in range(n):
        u = vectors[a] * vectors
        matrix[a] = np.einsum("bm,bm->b", u @ weights, u)
    return np.linalg.eigvalsh(matrix)[-1]


def test_full_batch_has_the_squared_factor_of_the_mean():
    kernel = np.diag([0.5, 1.0, 3.0])
    for lr, wanted in ((0.5, 0.75**2), (0.65, 0.95**2), (0.8, 1.4**2)):
        np.testing.assert_allclose(measures.second_moment_radius(kernel, lr=lr, batch_size=3), wanted, rtol=1e-14)
    np.testing.assert_allclose(measures.second_moment_radius(kernel, lr=0.5, batch_size=3, momentum=0.6), 0.6)


def test_ever_smaller_steps_have_a_radius_ever_nearer_to_one():
    kernel = random_kernel(4, 6)
    slowest = np.linalg.eigvalsh(kernel)[0]
    for lr in (1e-4, 1e-6, 1e-8):
        gap = 1 - measures.second_moment_radius(kernel, lr=lr, batch_size=2)
        np.testing.assert_allclose(gap, 2 * lr * slowest, rtol=max(50 * lr, 1e-3))


def test_no_stochastic_edge_where_the_mean_becomes_unstable_first():
    kernel = np.diag([1.0, 1.0, 1.0, 4.0])
    assert np.isnan(measures.second_moment_edge_lr(kernel, batch_size=4))
    assert np.isnan(measures.stochastic_edge_lr(kernel, batch_size=4))
    limit = measures.first_moment_edge_lr(np.array([1.0, 4.0]))
    assert measures.second_moment_radius(kernel, lr=0.999 * limit, batch_size=4) < 1


def test_a_memory_need_above_the_bound_is_refused():
    with pytest.raises(InputError, match=r"must be at most 10000 \(second_moment_radius and .*; got 10201"):
        measures.dense_second_moment(jnp.eye(101), lr=0.1, batch_size=2)
    with pytest.raises(InputError, match="got 10404"):
        measures.dense_second_moment(jnp.eye(51), lr=0.1, batch_size=2, momentum=0.5)


@pytest.mark.parametrize("call", [measures.second_moment_norm, measures.second_moment_radius])
def test_bad_input(call):
    kernel = random_kernel(1, 4)
    with pytest.raises(InputError, match=r"batch_size must be at most 4 \(the number of examples\); got 5\."):
        call(kernel, lr=0.1, batch_size=5)
    with pytest.raises(InputError, match=r"momentum must lie in \[0, 1\); got 1\.0\."):
        call(kernel, lr=0.1, batch_size=2, momentum=1.0)
    with pytest.raises(InputError, match="kernel must be symmetric"):
        call(kernel + np.arange(4.0), lr=0.1, batch_size=2)


def test_norm_is_undefined_where_the_mean_is_unstable():
    with pytest.raises(InputError, match=r"lr must be below 1, .* undefined; got 1\.5\."):
        measures.second_moment_norm(np.diag([1.0, 2.0]), lr=1.5, batch_size=1)
    assert measures.second_moment_radius(np.diag([1.0, 2.0]), lr=1.5, batch_size=1) > 1


def test_step_matrices_have_the_mean_of_the_kernel():
    """The oracle itself: SEOS-3."""
    kernel = random_kernel(1, 4)
    close(step_matrices(kernel, 0.3, 2).mean(0), np.eye(4) - 0.3 * kernel)


def test_a_root_that_newton_misses_is_found_between_brackets():
    """From 0.5 Newton on an arc tangent runs away."""

    def falling(r, fresh):
        assert fresh or r > 0.5
        return -np.arctan(5 * (r - 1.7)), -5 / (1 + 25 * (r - 1.7) ** 2)

    np.testing.assert_allclose(_root_above(falling, 0.5, 1e-12), 1.7, rtol=1e-11)
    assert _root_above(falling, 1.9, 1e-12) == 1.9


def two_groups(coupling):
    """Examples in two groups of 50 that hardly know each other: ones with a long memory, others with much noise."""
    kernel = np.zeros((100, 100))
    kernel[:50, :50], kernel[50:, 50:] = 1 / 50, 0.6 * np.eye(50)
    noise = np.random.default_rng(0).normal(size=(100, 100))
    return kernel + coupling * noise @ noise.T / 100


@pytest.mark.parametrize("coupling", [0.0, 1e-6, 1e-4])
def test_the_leading_group_of_examples_may_change_on_the_way(coupling, monkeypatch):
    """What leads far below the edge leads no more near it: by solves that follow a vector, and with the matrix."""
    kernel, found = two_groups(coupling), []
    for small in (64, 1000):
        monkeypatch.setattr(sys.modules[response_norm.__module__], "SMALL", small)
        edge = measures.second_moment_edge_lr(kernel, batch_size=50)
        radii = [measures.second_moment_radius(kernel, lr=lr, batch_size=50) for lr in (1.0, 1.8)]
        found.append([edge, *radii])
    np.testing.assert_allclose(found[0], found[1], rtol=1e-9)
    np.testing.assert_allclose([found[0][0], found[0][2]], [5 / 3, 1.1728], rtol=1e-3)


def test_radius_where_another_group_leads_under_momentum(monkeypatch):
    """A kernel of near neighbours among random points; 4.185 is a review's power iteration of the heavy ball's T."""
    x = np.random.default_rng(2).normal(size=(100, 3))
    kernel = np.exp(-((x[:, None] - x) ** 2).sum(axis=2) / 0.1)
    numbers = {"lr": 0.3, "batch_size": 5, "momentum": 0.9}
    got = measures.second_moment_radius(kernel, **numbers)
    np.testing.assert_allclose(got, 4.185, atol=1e-3)
    monkeypatch.setattr(sys.modules[response_norm.__module__], "SMALL", 1000)
    np.testing.assert_allclose(got, measures.second_moment_radius(kernel, **numbers), rtol=1e-9)


@pytest.mark.parametrize(
    ("kernel", "numbers", "wanted"),
    [
        (np.eye(2), {"lr": 1.0, "batch_size": 1}, 1.0),
        (np.eye(3), {"lr": 0.5, "batch_size": 1, "l2": 1.0}, 0.5),
    ],
)
def test_radius_where_the_mean_is_gone_after_a_step(kernel, numbers, wanted):
    np.testing.assert_allclose(measures.second_moment_radius(kernel, **numbers), wanted, atol=1e-12)
    top = np.abs(np.linalg.eigvals(measures.dense_second_moment(jnp.asarray(kernel), **numbers))).max()
    np.testing.assert_allclose(top, wanted, atol=1e-7)
    assert measures.second_moment_radius(np.ones((2, 2)), lr=0.5, batch_size=1) == 0  # the mode that moves


def test_single_precision_has_its_own_tolerance():
    kernel = kernel_of("flat")
    for measure in (measures.second_moment_radius, measures.second_moment_norm):
        single = measure(kernel.astype(np.float32), lr=0.04, batch_size=5)
        np.testing.assert_allclose(single, measure(kernel, lr=0.04, batch_size=5), rtol=1e-4)
    single = measures.second_moment_edge_lr(kernel.astype(np.float32), batch_size=5)
    np.testing.assert_allclose(single, measures.second_moment_edge_lr(kernel, batch_size=5), rtol=1e-4)


@pytest.mark.parametrize("edge", [measures.second_moment_edge_lr, measures.stochastic_edge_lr])
def test_edges_scale_with_the_kernel(edge):
    kernel = kernel_of("flat", size=5, width=6)
    np.testing.assert_allclose(1e10 * edge(1e10 * kernel, batch_size=2), edge(kernel, batch_size=2), rtol=1e-11)
