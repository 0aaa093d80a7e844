"""The noise kernel norm: reference cases, its definition, the diagonal dynamics, limits, and kinds of arrays."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray

from oracles import close
from precipice import measures
from precipice._checks import InputError
from sgd_by_hand import BATCH, SETTINGS, enumerated, kernel_of, radius, random_kernel, summed_response

FLAT = np.linalg.eigvalsh(kernel_of("flat"))


# Reference cases ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "exact", "high_dimensional", "trace", "mean", "total", "top"),
    [
        (
            "flat",
            0.07930325158808796,
            0.07626772962512743,
            0.0834695713041326,
            0.45452749852540925,
            119.80413752891644,
            4.4001738211405375,
        ),
        (
            "dispersed",
            2.8213796152675474,
            3.1837370557255795,
            9.374494282777867,
            4.000000000000003,
            1.066724209152409,
            0.49999999999999967,
        ),
    ],
)
def test_edges_of_the_reference(setting, exact, high_dimensional, trace, mean, total, top):
    """SEOS-C01."""
    kernel = kernel_of(setting)
    eigenvalues = np.linalg.eigvalsh(kernel)
    limit = measures.first_moment_edge_lr(eigenvalues)
    got = [
        measures.stochastic_edge_lr(kernel, batch_size=BATCH),
        measures.edge_lr(
            lambda lr: measures.noise_kernel_norm_high_dimensional(eigenvalues, lr=lr, batch_size=BATCH), limit=limit
        ),
        measures.trace_edge_lr(np.trace(kernel), batch_size=BATCH),
        limit,
        np.trace(kernel),
        eigenvalues[-1],
    ]
    np.testing.assert_allclose(got, [exact, high_dimensional, trace, mean, total, top], rtol=1e-8)


@pytest.mark.parametrize(
    ("lr", "exact", "high_dimensional", "refined", "trace", "diagonal"),
    [
        (
            0.023790975476426387,
            0.28411355880678174,
            0.29277694561633716,
            0.27948064127539635,
            0.2850257297924865,
            0.9993332913890605,
        ),
        (
            0.07137292642927917,
            0.8927769644542942,
            0.9300513279550985,
            0.8774330736637156,
            0.8550771893774597,
            0.998002411849755,
        ),
    ],
)
def test_norms_of_the_reference(lr, exact, high_dimensional, refined, trace, diagonal):
    """SEOS-C02."""
    kernel, numbers = kernel_of("flat"), {"lr": lr, "batch_size": BATCH}
    got = [
        measures.noise_kernel_norm(kernel, **numbers),
        measures.noise_kernel_norm_high_dimensional(FLAT, **numbers),
        measures.noise_kernel_norm_finite_size(FLAT, num_examples=100, **numbers),
        measures.noise_kernel_norm_trace(np.trace(kernel), **numbers),
        np.linalg.eigvalsh(measures.diagonal_second_moment(jnp.asarray(kernel), **numbers))[-1],
    ]
    np.testing.assert_allclose(got, [exact, high_dimensional, refined, trace, diagonal], rtol=1e-8)


@pytest.mark.parametrize(
    ("momentum", "lr", "wanted"),
    [
        (0.0, 0.0417347856520663, 0.4982666992688785),
        (0.5, 0.02086739282603315, 0.4824471244467962),
        (0.9, 0.004173478565206629, 0.4761566347998116),
    ],
)
def test_momentum_of_the_reference(momentum, lr, wanted):
    """SEOS-C04: the closed form, the sum of responses, and the trace form, which is 1/2 there."""
    numbers = {"lr": lr, "batch_size": BATCH, "momentum": momentum}
    got = measures.momentum_noise_kernel_norm(FLAT, num_examples=100, **numbers)
    np.testing.assert_allclose(got, wanted, rtol=1e-9)
    summed = (1 / 5 - 1 / 100) * sum(value**2 * summed_response(lr, value, momentum) for value in FLAT)
    np.testing.assert_allclose(got, summed, rtol=1e-9)
    np.testing.assert_allclose(measures.noise_kernel_norm_trace(FLAT.sum(), **numbers), 0.5, rtol=1e-12)


@pytest.mark.parametrize(
    ("setting", "high_dimensional", "trace"),
    [("flat", 1.011992868945393, 0.9236988775822043), ("dispersed", 0.6466188336451189, 0.29734278196769204)],
)
def test_norms_at_the_edge_of_the_reference(setting, high_dimensional, trace):
    """SEOS-C10."""
    kernel = kernel_of(setting)
    numbers = {"lr": measures.second_moment_edge_lr(kernel, batch_size=BATCH), "batch_size": BATCH}
    got = measures.noise_kernel_norm_high_dimensional(np.linalg.eigvalsh(kernel), **numbers)
    np.testing.assert_allclose(got, high_dimensional, rtol=1e-5)
    np.testing.assert_allclose(measures.noise_kernel_norm_trace(np.trace(kernel), **numbers), trace, rtol=1e-5)


@pytest.mark.parametrize(("momentum", "edge"), [(0.0, 0.07991), (0.5, 0.04254), (0.9, 0.00874)])
def test_edges_of_the_momentum_form(momentum, edge):
    """ERR-S10, to the digits given; the trace form's edge is eq. 18's."""

    def norm(lr):
        return measures.momentum_noise_kernel_norm(FLAT, lr=lr, batch_size=BATCH, num_examples=100, momentum=momentum)

    got = measures.edge_lr(norm, limit=measures.first_moment_edge_lr(FLAT, momentum=momentum))
    np.testing.assert_allclose(got, edge, atol=6e-6)
    of_trace = measures.trace_edge_lr(FLAT.sum(), batch_size=BATCH, momentum=momentum)
    np.testing.assert_allclose(of_trace, 0.0834695713041326 * (1 - momentum), rtol=1e-12)


# Definition ---------------------------------------------------------------------------------------------------------


def diagonal_by_definition(kernel, lr, batch_size, outputs=1):
    """A + B from the enumerated operator: p_m = (V^T S V)_mm/l_m, other entries of V^T S V left at 0."""
    values, vectors = np.linalg.eigh(kernel)
    both = np.einsum("am,bm->abm", vectors, vectors).reshape(-1, values.size)  # v_m v_m^T as columns
    matrix = both.T @ enumerated(kernel, lr, batch_size, num_outputs=outputs) @ both
    return matrix / values[:, None] * values[None, :], values


@pytest.mark.parametrize(("outputs", "batch"), [(1, 1), (1, 2), (1, 5), (1, 6), (2, 1), (2, 2), (3, 1), (6, 1)])
def test_norm_is_its_definition(outputs, batch):
    """SEOS-6, SEOS-7, ERR-S2 and ERR-S13: the diagonal of the enumerated operator, and (I - A)^-1 B of it."""
    kernel, lr = random_kernel(3, 6), 0.2
    wanted, values = diagonal_by_definition(kernel, lr, batch, outputs)
    got = measures.diagonal_second_moment(jnp.asarray(kernel), lr=lr, batch_size=batch, num_outputs=outputs)
    close(got, wanted, times=500)
    examples = 6 // outputs
    s = (examples - batch) / (batch * max(examples - 1, 1))
    a = np.diag((1 - lr * values) ** 2 - s * (lr * values) ** 2)
    ratio = np.linalg.eigvals(np.linalg.inv(np.eye(6) - a) @ (wanted - a))
    norm = measures.block_noise_kernel_norm(kernel, num_outputs=outputs, lr=lr, batch_size=batch)
    np.testing.assert_allclose(norm, ratio.real.max(), rtol=1e-10, atol=1e-12)
    if outputs == 1:
        assert measures.noise_kernel_norm(kernel, lr=lr, batch_size=batch) == norm


@pytest.mark.parametrize("setting", [s if s == "flat" else pytest.param(s, marks=pytest.mark.long) for s in SETTINGS])
def test_the_diagonal_dynamics_are_marginal_where_the_norm_is_one(setting):
    """SEOS-7 (ERR-S4): A + B has no negative entry, so that its radius is its largest eigenvalue."""
    kernel = jnp.asarray(kernel_of(setting))
    lr = measures.stochastic_edge_lr(kernel, batch_size=BATCH)
    matrix = np.asarray(measures.diagonal_second_moment(kernel, lr=lr, batch_size=BATCH))
    assert matrix.min() >= -1e-12
    np.testing.assert_allclose(np.abs(np.linalg.eigvalsh(matrix)).max(), 1, rtol=1e-11)


def test_a_can_be_below_minus_one_while_the_dynamics_are_stable():
    """ERR-S4: at B = 1 A is 1 - 2 lr l; K < 1 alone decides, up to the limit of the mean."""
    values = np.r_[np.full(1, 1.0), np.full(63, 1e-3)]
    hadamard = np.eye(1)
    for _ in range(6):
        hadamard = np.kron(hadamard, np.array([[1.0, 1.0], [1.0, -1.0]]) / 2**0.5)
    kernel = jnp.asarray((hadamard * values) @ hadamard.T)
    lr = 1.6
    assert 1 - 2 * lr * values[0] < -1
    matrix = np.asarray(measures.diagonal_second_moment(kernel, lr=lr, batch_size=1))
    norm = float(measures.noise_kernel_norm(kernel, lr=lr, batch_size=1))
    assert matrix.min() >= -1e-12
    assert (norm < 1) == (np.abs(np.linalg.eigvalsh(matrix)).max() < 1)


@pytest.mark.parametrize(("momentum", "l2"), [(0.0, 0.0), (0.7, 0.0), (0.0, 0.3), (0.7, 0.3)])
def test_norm_with_momentum_and_l2_is_that_of_the_diagonal_moments(momentum, l2):
    """The 3 d numbers (zz, zv, vv) of each mode, from the enumerated operator: marginal where K is 1."""
    kernel, batch = random_kernel(5, 5), 1
    lr = measures.stochastic_edge_lr(kernel, batch_size=batch, momentum=momentum, l2=l2)
    big = enumerated(kernel, lr, batch, momentum=momentum, l2=l2)
    _, vectors = np.linalg.eigh(kernel)
    columns = []
    for m in range(5):
        z, v = np.zeros(10), np.zeros(10)
        z[:5], v[5:] = vectors[:, m], vectors[:, m]
        columns += [np.kron(z, z), (np.kron(z, v) + np.kron(v, z)) / 2**0.5, np.kron(v, v)]
    basis = np.array(columns)
    np.testing.assert_allclose(radius(basis @ big @ basis.T), 1, rtol=1e-8)


def test_kernels_of_other_losses():
    """SEOS-14 (ERR-S13): z' = z - lr (D/B) J J^T P H z has the same radius as the kernel H^(1/2) J J^T H^(1/2)/D."""
    rng = np.random.default_rng(2)
    examples, outputs, lr = 3, 2, 0.3
    jacobian = rng.normal(size=(6, 8))
    hessian, root = np.zeros((6, 6)), np.zeros((6, 6))
    for d in range(examples):
        p = rng.dirichlet(np.ones(3))[:2]  # two logits of three: not singular
        block = np.diag(p) - np.outer(p, p)
        values, vectors = np.linalg.eigh(block)
        rows = slice(2 * d, 2 * d + 2)
        hessian[rows, rows], root[rows, rows] = block, (vectors * np.sqrt(values)) @ vectors.T
    steps = []
    for d in range(examples):  # batches of one
        mask = np.repeat(np.arange(examples) == d, outputs).astype(float)
        steps.append(np.eye(6) - lr * jacobian @ jacobian.T @ np.diag(mask) @ hessian)
    wanted = radius(np.mean([np.kron(m, m) for m in steps], axis=0))
    kernel = root @ jacobian @ jacobian.T @ root / examples
    got = measures.second_moment_radius(kernel, lr=lr, batch_size=1, num_outputs=outputs)
    np.testing.assert_allclose(got, wanted, rtol=1e-9)
    total = np.trace(jacobian.T @ hessian @ jacobian) / examples
    np.testing.assert_allclose(total, np.trace(kernel), rtol=1e-12)


def test_several_outputs_with_spread_eigenvectors():
    """SEOS-26 (N=24, C=4, P=120, B=3): at the edge the block form and the trace over C are near 1."""
    found = []
    for seed in range(3):
        jacobian = np.random.default_rng(seed).normal(size=(96, 120))
        kernel = jacobian @ jacobian.T / 24
        numbers = {"batch_size": 3, "num_outputs": 4}
        numbers["lr"] = measures.second_moment_edge_lr(kernel, **numbers)
        block = measures.block_noise_kernel_norm(kernel, **numbers)
        trace = measures.noise_kernel_norm_trace(np.trace(kernel), **numbers)
        found.append((block, trace, 4 * trace))
    np.testing.assert_allclose(np.mean(found, axis=0), [0.918, 0.82, 3.29], rtol=0.03)


# Limits -------------------------------------------------------------------------------------------------------------


def hadamard_kernel(values):
    rows = np.array([[1.0, 1.0], [1.0, -1.0]]) / 2**0.5
    vectors = np.kron(rows, rows)
    return (vectors * values) @ vectors.T


def test_eigenvectors_spread_evenly_have_the_finite_size_form():
    """SEOS-8: exact where all V_am^2 are 1/D; and never above K."""
    values = np.array([0.1, 0.5, 1.0, 1.7])
    for batch in (1, 2, 3, 4):
        numbers = {"lr": 0.6, "batch_size": batch}
        form = measures.noise_kernel_norm_finite_size(values, num_examples=4, **numbers)
        norm = measures.noise_kernel_norm(hadamard_kernel(values), **numbers)
        np.testing.assert_allclose(norm, form, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("seed", range(5))
def test_finite_size_form_is_a_lower_bound(seed):
    """ERR-S6: K_HD and K_tr are not; the trace is below K_HD always."""
    kernel = random_kernel(seed, 12)
    values = np.linalg.eigvalsh(kernel)
    for batch in (1, 3, 8):
        lr = 0.3 * measures.first_moment_edge_lr(values)
        numbers = {"lr": lr, "batch_size": batch}
        low = measures.noise_kernel_norm_finite_size(values, num_examples=12, **numbers)
        norm = measures.noise_kernel_norm(kernel, **numbers)
        assert low <= norm <= measures.second_moment_norm(kernel, **numbers) + 1e-13
        high = measures.noise_kernel_norm_high_dimensional(values, **numbers)
        assert measures.noise_kernel_norm_trace(values.sum(), **numbers) <= high


def test_printed_order_of_the_forms_is_wrong():
    """ERR-S6: in the paper's own flat setting K_tr and K_HD lie above K; with the full batch K is 0 and K_HD is not."""
    numbers = {"lr": 0.3 * 0.07930325158808796, "batch_size": BATCH}
    norm = measures.noise_kernel_norm(kernel_of("flat"), **numbers)
    assert norm < measures.noise_kernel_norm_trace(FLAT.sum(), **numbers)
    assert norm < measures.noise_kernel_norm_high_dimensional(FLAT, **numbers)
    numbers = {"lr": 0.1, "batch_size": 100}
    assert measures.noise_kernel_norm(kernel_of("flat"), **numbers) == 0
    assert measures.noise_kernel_norm_high_dimensional(FLAT, **numbers) > 0.05


@pytest.mark.parametrize(("lr", "eigenvalue", "momentum", "l2"), [(0.3, 1.5, 0.0, 0.7), (0.9, 1.5, 0.0, 0.4)])
def test_l2_is_the_sum_of_responses(lr, eigenvalue, momentum, l2):
    """SEOS-13; ERR-S12: near the edge the l2 term raises K, so that eq. 83 fails."""
    numbers = {"lr": lr, "batch_size": 2, "num_examples": 10}
    values = np.array([eigenvalue, 0.2])
    got = measures.l2_noise_kernel_norm(values, l2=l2, **numbers)
    wanted = (1 / 2 - 1 / 10) * sum(v**2 * summed_response(lr, v, momentum, l2) for v in values)
    np.testing.assert_allclose(got, wanted, rtol=1e-12)
    without = measures.momentum_noise_kernel_norm(values, momentum=0.0, **numbers)
    assert (got > without) == (lr > 0.5)


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_nesterov_is_the_sum_of_responses(momentum):
    values = np.array([0.01, 0.4, 1.1])
    numbers = {"lr": 0.9, "batch_size": 2, "num_examples": 10, "momentum": momentum}
    got = measures.nesterov_noise_kernel_norm(values, **numbers)
    wanted = (1 / 2 - 1 / 10) * sum(v**2 * summed_response(0.9, v, momentum, nesterov=True) for v in values)
    np.testing.assert_allclose(got, wanted, rtol=1e-10)
    if momentum == 0:
        np.testing.assert_allclose(got, measures.momentum_noise_kernel_norm(values, **numbers), rtol=1e-14)
    limit = 2 * (1 + momentum) / ((1 + 2 * momentum) * 1.1)  # the edge of optax's Nesterov momentum
    with pytest.raises(InputError, match="lr must be below"):
        measures.nesterov_noise_kernel_norm(values, **{**numbers, "lr": limit * 1.001})


def test_series_of_small_learning_rates():
    """SEOS-12 (ERR-S10): what is left out is of the third order."""
    numbers = {"batch_size": 2, "num_examples": 100, "momentum": 0.6}
    lrs, errors = np.array([0.02, 0.01, 0.005]), []
    for lr in lrs:
        exact = measures.momentum_noise_kernel_norm(FLAT, lr=lr, **numbers)
        errors.append(abs(measures.momentum_noise_kernel_norm_series(FLAT, lr=lr, **numbers) - exact))
    np.testing.assert_allclose(np.diff(np.log(errors)) / np.diff(np.log(lrs)), 3, atol=0.05)


# Arrays and transformations -----------------------------------------------------------------------------------------

KERNEL = random_kernel(1, 6)
VALUES = np.linalg.eigvalsh(KERNEL)
FORMS = {
    "exact": lambda k, lr: measures.noise_kernel_norm(k, lr=lr, batch_size=2, momentum=0.3, l2=0.1),
    "block": lambda k, lr: measures.block_noise_kernel_norm(k, num_outputs=2, lr=lr, batch_size=2),
    "high dimensional": lambda v, lr: measures.noise_kernel_norm_high_dimensional(v, lr=lr, batch_size=2),
    "finite size": lambda v, lr: measures.noise_kernel_norm_finite_size(v, lr=lr, batch_size=2, num_examples=6),
    "trace": lambda t, lr: measures.noise_kernel_norm_trace(t, lr=lr, batch_size=2, momentum=0.2),
    "momentum": lambda v, lr: measures.momentum_noise_kernel_norm(v, lr=lr, batch_size=2, num_examples=6, momentum=0.4),
    "series": lambda v, lr: measures.momentum_noise_kernel_norm_series(
        v, lr=lr, batch_size=2, num_examples=6, momentum=0.4
    ),
    "l2": lambda v, lr: measures.l2_noise_kernel_norm(v, lr=lr, batch_size=2, num_examples=6, l2=0.4),
    "nesterov": lambda v, lr: measures.nesterov_noise_kernel_norm(v, lr=lr, batch_size=2, num_examples=6, momentum=0.4),
}
EDGES = {
    "edge": lambda k: measures.stochastic_edge_lr(k, batch_size=2),
    "radius": lambda k: measures.second_moment_radius(k, lr=0.1, batch_size=2),
    "norm": lambda k: measures.second_moment_norm(k, lr=0.1, batch_size=2),
    "second moment edge": lambda k: measures.second_moment_edge_lr(k, batch_size=2, momentum=0.5),
}

each_form = pytest.mark.parametrize("name", FORMS)


def input_of(name):
    return KERNEL if name in ("exact", "block") else VALUES.sum() if name == "trace" else VALUES


@each_form
def test_numpy_in_numpy_out_and_jax_in_jax_out(name):
    given = input_of(name)
    of_numpy, of_jax = FORMS[name](given, 0.1), FORMS[name](jnp.asarray(given), 0.1)
    assert isinstance(of_numpy, np.float64)
    assert isinstance(of_jax, jax.Array)
    assert of_jax.shape == ()
    np.testing.assert_allclose(of_numpy, of_jax, rtol=1e-15)
    single = FORMS[name](jnp.asarray(given, jnp.float32), 0.1)
    assert single.dtype == jnp.float32
    np.testing.assert_allclose(single, of_jax, rtol=1e-5)


@each_form
def test_jit_vmap_and_grad_in_the_learning_rate(name):
    given, lrs = jnp.asarray(input_of(name)), jnp.array([0.05, 0.1, 0.2])
    lanes = jax.jit(jax.vmap(lambda lr: FORMS[name](given, lr)))(lrs)
    np.testing.assert_allclose(lanes, [FORMS[name](given, float(lr)) for lr in lrs], rtol=1e-12)
    slope = jax.jit(jax.grad(lambda lr: FORMS[name](given, lr)))(0.1)
    step = (FORMS[name](given, 0.1 + 1e-6) - FORMS[name](given, 0.1 - 1e-6)) / 2e-6
    np.testing.assert_allclose(slope, step, rtol=1e-7)


def test_grad_in_the_kernel():
    kernel, change = jnp.asarray(KERNEL), np.random.default_rng(0).normal(size=(6, 6))
    change = jnp.asarray(change + change.T)
    slope = jnp.sum(jax.grad(FORMS["exact"])(kernel, 0.1) * change)
    step = (FORMS["exact"](kernel + 1e-6 * change, 0.1) - FORMS["exact"](kernel - 1e-6 * change, 0.1)) / 2e-6
    np.testing.assert_allclose(slope, step, rtol=1e-6)


@each_form
def test_labelled_arrays_keep_their_other_axes(name):
    given = input_of(name)
    dims = {0: (), 1: ("eigenvalue",), 2: ("example", "other")}[np.ndim(given)]
    labelled = xarray.DataArray(np.stack([given, 2 * given]), dims=("step", *dims), coords={"step": [0, 10]})
    lrs = xarray.DataArray([0.05, 0.1, 0.15], dims="lr", coords={"lr": [0.05, 0.1, 0.15]})
    got = FORMS[name](labelled, lrs)
    assert got.dims == ("step", "lr")
    assert got.attrs["units"] == "1"
    wanted = [[FORMS[name](scale * given, lr) for lr in lrs.values] for scale in (1, 2)]
    np.testing.assert_allclose(got, wanted, rtol=1e-14)
    assert list(got["step"].values) == [0, 10]


@pytest.mark.parametrize("name", EDGES)
def test_edges_take_every_kind_of_array(name):
    wanted = EDGES[name](KERNEL)
    np.testing.assert_allclose(EDGES[name](jnp.asarray(KERNEL)), wanted, rtol=1e-12)
    labelled = xarray.DataArray(KERNEL[None], dims=("seed", "example", "other"))
    got = EDGES[name](labelled)
    assert got.dims == ("seed",)
    np.testing.assert_allclose(got, [wanted], rtol=1e-12)


def test_traced_numbers_beyond_the_limit_are_nan():
    given = jnp.asarray(KERNEL)
    limit = float(measures.first_moment_edge_lr(VALUES))
    lanes = jax.vmap(lambda lr: measures.noise_kernel_norm(given, lr=lr, batch_size=2))(jnp.array([0.9, 1.1]) * limit)
    assert np.isnan(np.asarray(lanes)).tolist() == [False, True]


def test_zero_eigenvalues_add_nothing():
    low, high = random_kernel(2, 6, rank=4), np.linalg.eigvalsh(random_kernel(2, 6, rank=4))[2:]
    numbers = {"lr": 0.2, "batch_size": 2, "num_examples": 6, "momentum": 0.5}
    padded = measures.momentum_noise_kernel_norm(np.r_[0.0, 0.0, high], **numbers)
    np.testing.assert_allclose(padded, measures.momentum_noise_kernel_norm(high, **numbers), rtol=1e-14)
    exact = measures.noise_kernel_norm(low, lr=0.2, batch_size=2)
    assert np.isfinite(exact)
    matrix = np.asarray(measures.diagonal_second_moment(jnp.asarray(low), lr=0.2, batch_size=2))
    assert not matrix[:2].any()
    gradient = jax.grad(lambda lr: measures.noise_kernel_norm(jnp.asarray(low), lr=lr, batch_size=2))(0.2)
    step = measures.noise_kernel_norm(low, lr=0.2 + 1e-6, batch_size=2) - measures.noise_kernel_norm(
        low, lr=0.2 - 1e-6, batch_size=2
    )
    np.testing.assert_allclose(gradient, step / 2e-6, rtol=1e-7)


# Bad input ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kernel", "numbers", "words"),
    [
        (KERNEL, {"batch_size": 7}, r"batch_size must be at most 6 \(the number of examples\); got 7\."),
        (KERNEL, {"batch_size": 0}, r"batch_size must be at least 1; got 0\."),
        (KERNEL, {"momentum": 1.0}, r"momentum must lie in \[0, 1\); got 1\.0\."),
        (KERNEL, {"momentum": -0.1}, r"momentum must lie in \[0, 1\); got -0\.1\."),
        (KERNEL, {"l2": -1.0}, r"l2 must be at least 0 and finite; got -1\.0\."),
        (KERNEL, {"lr": 0.0}, r"lr must be positive and finite; got 0\.0\."),
        (KERNEL, {"lr": 9.0}, r"lr must be below 0\.\d+, beyond which the mean .* undefined; got 9\."),
        (KERNEL[:4], {}, r"kernel must be a square matrix; got shape \(4, 6\)\."),
        (KERNEL[0], {}, r"kernel must be a square matrix; got shape \(6,\)\."),
        (np.triu(KERNEL), {}, r"kernel must be symmetric; got entries that differ .* by \d"),
        (-KERNEL, {}, r"kernel must have an eigenvalue above 0; got -"),
        (0 * KERNEL, {}, r"kernel must have an eigenvalue above 0; got 0 as the largest\."),
        (KERNEL - 0.1 * np.eye(6), {}, r"kernel must have no negative eigenvalue beyond rounding; got -0\."),
        (KERNEL + np.nan, {}, r"kernel must be finite; got NaN or inf\."),
    ],
)
def test_bad_kernels_and_numbers(kernel, numbers, words):
    with pytest.raises(InputError, match=words):
        measures.noise_kernel_norm(kernel, **{"lr": 0.1, "batch_size": 2, **numbers})


def test_outputs_must_divide_the_kernel():
    with pytest.raises(InputError, match=r"num_outputs must divide the size of the kernel \(6\); got 4\."):
        measures.block_noise_kernel_norm(KERNEL, num_outputs=4, lr=0.1, batch_size=1)
    with pytest.raises(InputError, match=r"batch_size must be at most 3 \(the number of examples\); got 4\."):
        measures.block_noise_kernel_norm(KERNEL, num_outputs=2, lr=0.1, batch_size=4)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.zeros(3), "must have an eigenvalue above 0"),
        (np.array([-0.5, 1.0]), "must have no negative eigenvalue"),
        (np.ones((2, 2)), r"eigenvalues must be a row of numbers; got shape \(2, 2\)"),
        (np.array([1.0, np.inf]), "eigenvalues must be finite"),
    ],
)
def test_bad_eigenvalues(values, words):
    for name in ("high dimensional", "finite size", "momentum", "l2", "nesterov", "series"):
        with pytest.raises(InputError, match=words):
            FORMS[name](values, 0.1)


def test_bad_numbers_of_the_forms():
    with pytest.raises(InputError, match="lr must be below 2, "):
        measures.noise_kernel_norm_high_dimensional(np.ones(3), lr=2.5, batch_size=1)
    with pytest.raises(InputError, match="at most 3"):
        measures.noise_kernel_norm_finite_size(np.ones(3), lr=0.5, batch_size=4, num_examples=3)
    with pytest.raises(InputError, match="momentum must lie"):
        measures.noise_kernel_norm_trace(3.0, lr=0.5, batch_size=4, momentum=1.5)
    with pytest.raises(InputError, match="trace must be positive and finite; got 0"):
        measures.noise_kernel_norm_trace(0.0, lr=0.5, batch_size=4)
    with pytest.raises(InputError, match=r"limit must be positive and finite; got 0"):
        measures.edge_lr(lambda lr: lr, limit=0.0)
    with pytest.raises(InputError, match=r"norm must be a number below the limit 1\.0; got NaN\."):
        measures.edge_lr(lambda lr: float("nan"), limit=1.0)
