"""Quadratic models of many outputs: z = y + G theta + Q(theta, theta)/2, and their random starts."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Float

from precipice._checks import InputError, at_least
from precipice._types import Number, PRNGKey, Scalar, floating
from precipice.problems.losses import sum_half_squared_error
from precipice.problems.problem import AbstractProblem


class Rows(NamedTuple):
    """A quadratic model's numbers, one row an example: a batch is rows of it.

    Args:
        y: residuals at theta = 0 [d].
        g: Jacobian at theta = 0 [d, p].
        q: second derivatives, symmetric in the last two axes [d, p, p].
    """

    y: Float[Array, "d"]
    g: Float[Array, "d p"]
    q: Float[Array, "d p p"]


def _as_rows(data: Any) -> Rows:
    """Arrays of numbers as JAX arrays, whole numbers in the default precision."""
    if len(data) != 3:
        raise InputError(f"data of a quadratic model must be its rows (y, g, q); got {len(data)} parts.")
    return Rows(*(floating(part) for part in data))


class QuadraticModel(AbstractProblem):
    """z = y + G theta + Q(theta, theta)/2 with targets 0, under `output_loss`, at parameters theta [p].

    Its Jacobian is J = G + Q(theta, .). A gradient reads Q once.

    Args:
        data: the model's numbers, a row an example.
        output_loss: `sum_half_squared_error`, whose edge is 2/lr for J J^T (agarwala2022, no 1/d), or
            `mean_half_squared_error`, whose edge is 2/lr for J J^T/d (agarwala2024).

    Raises:
        InputError: shapes that do not fit, entries that are not finite, or a q that is not symmetric.

    References: agarwala2022, eqs. 19 and 20 (QR-30); agarwala2024, section 3.1 (SEOS-20).

    Example:
        >>> model = QuadraticModel(Rows(jnp.array([1.0]), jnp.array([[0.0, 2.0]]), jnp.eye(2)[None]))
        >>> theta = jnp.array([1.0, 1.0])
        >>> model.outputs(theta).tolist(), model.jacobian(theta).tolist(), float(model.loss(theta))
        ([[4.0]], [[1.0, 3.0]], 8.0)
    """

    data: Rows = eqx.field(converter=_as_rows)
    output_loss: Callable[..., Scalar] = eqx.field(static=True, default=sum_half_squared_error)

    def __check_init__(self):
        check_rows("data", self.data)

    def init(self, key: PRNGKey) -> Float[Array, "p"]:  # noqa: ARG002
        """Zeros: the point about which y, G and Q are given."""
        return jnp.zeros(self.data.g.shape[1], self.data.g.dtype)

    def outputs(self, params: Float[Array, "p"], batch: Any = None) -> Float[Array, "n 1"]:
        """The residuals z of a batch of rows, by default of all, as one output an example [n, 1]."""
        return _residuals(self.data if batch is None else batch, self._fitting(params))[:, None]

    def loss_of_outputs(self, outputs: Float[Array, "n 1"], batch: Any = None) -> Scalar:  # noqa: ARG002
        """`output_loss` with targets 0."""
        return self.output_loss(outputs, jnp.zeros_like(outputs))

    def loss(self, params: Float[Array, "p"], batch: Any = None) -> Scalar:
        """The loss of a batch of rows, by default of all; sum or mean over them as `output_loss` says."""
        return self.loss_of_outputs(self.outputs(params, batch), batch)

    def jacobian(self, params: Float[Array, "p"]) -> Float[Array, "d p"]:
        """J = G + Q(theta, .)."""
        return self.data.g + contracted(self.data.q, self._fitting(params))

    def _fitting(self, params: Any) -> Array:
        wanted = self.data.g.shape[1:]
        if jnp.shape(params) != wanted:
            raise InputError(f"params of this quadratic model must have shape {wanted}; got {jnp.shape(params)}.")
        return jnp.asarray(params)

    def kernel(self, params: Float[Array, "p"]) -> Float[Array, "d d"]:
        """J J^T, with no factor of the loss."""
        jacobian = self.jacobian(params)
        return jacobian @ jacobian.T


def check_rows(name: str, rows: Rows) -> None:
    """Refuse numbers that make no quadratic model; values are looked at outside of a transformation only.

    Raises:
        InputError: shapes that do not fit, entries that are not finite, or a q that is not symmetric.
    """
    y, g, q = rows
    if y.ndim != 1 or not g.size or g.ndim != 2 or g.shape[0] != len(y) or q.shape != (*g.shape, g.shape[1]):
        raise InputError(
            f"{name} must have shapes [d], [d, p] and [d, p, p], d and p at least 1; got {y.shape}, {g.shape}, "
            f"{q.shape}."
        )
    if any(jnp.iscomplexobj(leaf) for leaf in rows):
        raise InputError(
            f"{name} of a quadratic model must be real; got {', '.join(str(leaf.dtype) for leaf in rows)}."
        )
    if any(isinstance(leaf, Tracer) for leaf in rows):
        return
    finite, skew, allowed = _checked(rows)
    if not finite:
        raise InputError(f"{name} of a quadratic model must be finite; got NaN or inf.")
    if skew > allowed:
        raise InputError(
            f"q must be symmetric in its last two axes; got entries that differ by {float(skew):.3g} from their mirror "
            "images ((q + q^T)/2 has the same outputs)."
        )


@jax.jit
def _checked(data: Rows) -> tuple[Array, Array, Array]:
    """(finite, largest difference of Q's mirrored entries, what rounding allows), without a copy of Q."""
    finite = jnp.all(jnp.array([jnp.all(jnp.isfinite(leaf)) for leaf in data]))
    scale = jnp.max(jnp.abs(data.q))
    rounding = 8 * jnp.finfo(data.q.dtype).eps * scale
    return finite, jnp.max(jnp.abs(data.q - jnp.swapaxes(data.q, 1, 2))), rounding


def contracted(q: Float[Array, "d p p"], v: Float[Array, "p"]) -> Float[Array, "d p"]:
    """Q(v, .), reading Q once: of the ways to write it the fastest."""
    d, p, _ = q.shape
    return (q.reshape(d * p, p) @ v).reshape(d, p)


@jax.custom_jvp
def _residuals(data: Rows, params: Array) -> Array:
    return _at(data, params, contracted(data.q, params))


def _at(data: Rows, params: Array, turned: Array) -> Array:
    """The residuals, with `turned` = Q(theta, .)."""
    return data.y + data.g @ params + turned @ params / 2


def _residuals_jvp(primals: tuple[Rows, Array], tangents: tuple[Rows, Any]) -> tuple[Array, Array]:
    """The change J dtheta with the Q(theta, .) that z came from, so that a gradient does not read Q again.

    J = G + Q(theta, .) is not added up: for many starts side by side it would be as large as their states together.
    """
    (data, params), (moved, step) = primals, tangents
    turned = contracted(data.q, params)
    change = jnp.zeros_like(data.y)
    if not isinstance(step, SymbolicZero):
        change = change + data.g @ step + turned @ step
    if not isinstance(moved.y, SymbolicZero):
        change = change + moved.y
    if not isinstance(moved.g, SymbolicZero):
        change = change + moved.g @ params
    if not isinstance(moved.q, SymbolicZero):
        change = change + contracted(moved.q, params) @ params / 2
    return _at(data, params, turned), change


_residuals.defjvp(_residuals_jvp, symbolic_zeros=True)


def gaussian_rows(
    num_examples: int,
    num_params: int,
    *,
    output_scale: Number,
    jacobian_scale: Number,
    symmetric: bool = True,
    key: PRNGKey,
) -> Rows:
    """y, J and Q with independent Gaussian entries, in JAX's default precision.

    Q = (R + R^T)/sqrt(2), R with unit variance: off the diagonal variance 1, on it 2, the same in every orthonormal
    basis. With ``symmetric=False`` it is (R + R^T)/2, the quadratic form of the non-symmetric R itself: half the
    variance, which is the ensemble behind the printed moments of agarwala2022's appendix C.2.

    Args:
        num_examples: d.
        num_params: p.
        output_scale: standard deviation of y, the paper's sigma_z.
        jacobian_scale: standard deviation of the entries of G, the paper's sigma_J.
        symmetric: which of the two.
        key: for the draws.

    Raises:
        InputError: d or p below 1, a scale below 0.

    References: agarwala2022, theorem 3.1 (QR-34).

    Example:
        >>> rows = gaussian_rows(2, 3, output_scale=1.0, jacobian_scale=0.1, key=jax.random.key(0))
        >>> [leaf.shape for leaf in rows]
        [(2,), (2, 3), (2, 3, 3)]
    """
    _check_scales(output_scale, jacobian_scale)
    y_key, g_key, q_key = _keys(num_examples, num_params, key)
    r = jax.random.normal(q_key, (num_examples, num_params, num_params))
    q = (r + jnp.swapaxes(r, 1, 2)) / (2**0.5 if symmetric else 2)
    return Rows(*_first_two(num_examples, num_params, output_scale, jacobian_scale, y_key, g_key), q)


def structured_rows(
    num_examples: int,
    num_params: int,
    variance: Callable[[Float[Array, "d"]], Float[Array, "d"]],
    *,
    output_scale: Number,
    jacobian_scale: Number,
    key: PRNGKey,
) -> Rows:
    """Gaussian y and J, and Q = sum_a w_a (x) M_a with w_a the left singular vectors of J.

    M_a = sqrt(V(sigma_a)) (R_a + R_a^T)/sqrt(2), R_a with unit variance: off its diagonal the variance is V(sigma_a).
    V = 1 is `gaussian_rows`. Needs the memory of Q twice.

    Args:
        num_examples: d.
        num_params: p.
        variance: V, from the singular values of J (0 for the d - p last ones where d > p) to variances, entry by entry.
        output_scale: standard deviation of y.
        jacobian_scale: standard deviation of the entries of J.
        key: for the draws.

    Raises:
        InputError: d or p below 1, a scale or a variance below 0.

    References: agarwala2024, eq. 13 (SEOS-21).

    Example:
        >>> rows = structured_rows(3, 2, lambda s: s, output_scale=1.0, jacobian_scale=1.0, key=jax.random.key(0))
        >>> left, sigma, _ = jnp.linalg.svd(rows.g)
        >>> bool(jnp.max(jnp.abs(left[:, 2] @ rows.q.reshape(3, 4))) < 1e-6)
        True
    """
    _check_scales(output_scale, jacobian_scale)
    y_key, g_key, q_key = _keys(num_examples, num_params, key)
    y, g = _first_two(num_examples, num_params, output_scale, jacobian_scale, y_key, g_key)
    left, sigma, _ = jnp.linalg.svd(g, full_matrices=num_examples > num_params)
    left, sigma = left[:, :num_examples], jnp.pad(sigma, (0, num_examples - sigma.shape[0]))
    r = jax.random.normal(q_key, (num_examples, num_params, num_params))
    m = (r + jnp.swapaxes(r, 1, 2)) / 2**0.5
    variances = variance(sigma)
    if not isinstance(variances, Tracer) and not bool(jnp.all(variances >= 0)):
        raise InputError(f"variance must give numbers of at least 0; got {float(jnp.min(variances)):.3g}.")
    weighted = left * jnp.sqrt(variances)[None]
    return Rows(y, g, (weighted @ m.reshape(num_examples, -1)).reshape(m.shape))


def _check_scales(output_scale: Number, jacobian_scale: Number) -> None:
    for name, scale in (("output_scale", output_scale), ("jacobian_scale", jacobian_scale)):
        if not isinstance(scale, Tracer):
            at_least(name, float(scale), 0)


def _keys(num_examples: int, num_params: int, key: PRNGKey) -> Array:
    at_least("num_examples", num_examples, 1)
    at_least("num_params", num_params, 1)
    return jax.random.split(key, 3)


def _first_two(
    num_examples: int, num_params: int, output_scale: Number, jacobian_scale: Number, y_key: PRNGKey, g_key: PRNGKey
) -> tuple[Array, Array]:
    y, g = jax.random.normal(y_key, (num_examples,)), jax.random.normal(g_key, (num_examples, num_params))
    return jnp.asarray(output_scale, y.dtype) * y, jnp.asarray(jacobian_scale, g.dtype) * g
