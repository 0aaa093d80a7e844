"""The minimal models in numpy, as the papers write them: losses of a flat vector of parameters, steps of maps.

A loss takes (theta, number) with theta in float64 or longdouble: `derivatives` differentiates it by differences.
A step takes (theta, number, draw) and returns the next theta and the loss before the step, NaN where there is none.
"""

from collections.abc import Callable

import jax
import numpy as np
import scipy.special

from precipice.dynamics.minibatch import draw_batch

STEP = 2.0**-10
STENCIL = {-3: -1 / 60, -2: 3 / 20, -1: -3 / 4, 1: 3 / 4, 2: -3 / 20, 3: 1 / 60}


def differentiated(function: Callable, theta: np.ndarray) -> np.ndarray:
    """d function / d theta by differences of sixth order in 80 bits, the derivative's axis last."""
    theta = np.asarray(theta, np.longdouble)
    columns = []
    for e in np.eye(theta.size, dtype=np.longdouble):
        columns.append(sum(weight * function(theta + i * STEP * e) for i, weight in STENCIL.items()) / STEP)
    return np.stack(columns, axis=-1)


def derivatives(loss: Callable, theta: np.ndarray, number: float) -> tuple[float, np.ndarray, np.ndarray]:
    """(loss, gradient, Hessian) of a loss by hand at theta, to about 1e-10 even where it is evaluated in 64 bits."""

    def gradient(t):
        return differentiated(lambda u: loss(u, number), t)

    hessian = differentiated(gradient, theta)
    return float(loss(theta, number)), gradient(theta).astype(float), hessian.astype(float)


# Losses -------------------------------------------------------------------------------------------------------------


def scalar_network(*powers):
    return lambda t, weight: weight * (1 - np.prod([x**p for x, p in zip(t, powers, strict=True)])) ** 2


def square_root(s):
    return np.sqrt(1 + s**2)


def log_cosh(s):
    return np.log(np.cosh(s))


def huber(s):
    return s**2 / 2 if abs(s) < 1 else abs(s) - 0.5


def power(beta):
    """Integral of l'(s) = s (1 - c s^beta) up to r, and of 1 from there."""
    c, r = (beta / (beta + 1)) ** beta / (beta + 1), (beta + 1) / beta

    def value(s):
        s = abs(s)
        inner = min(s, r)
        return inner**2 / 2 - c * inner ** (beta + 2) / (beta + 2) + max(s - r, 0)

    return value


def single_neuron(output_loss):
    return lambda t, _: output_loss(t[0] * t[1])


def logistic(s):
    return np.log1p(np.exp(-s))


def normal_distribution(b):
    return scipy.special.erfc(-float(b) / 2**0.5) / 2


def smoothed_relu(b):
    return np.exp(-(b**2) / 2) / (2 * np.pi) ** 0.5 + b * normal_distribution(b)


def mean_model(dimension):
    def loss(t, _):
        s = dimension * (t[0] + t[1]) * smoothed_relu(t[2])
        return (logistic(s) + logistic(-s)) / 2

    return loss


def _relu(x):
    return np.maximum(x, 0)


def threshold_network(x, y):
    def loss(t, scale):
        f = t[0] * _relu(t[2] - scale * x).sum(1) + t[1] * _relu(t[2] + scale * x).sum(1)
        return np.mean(logistic(y * f))

    return loss


def sparse_coding_network(x, y, width):
    def loss(t, scale):
        bias, out, weight = t[0], t[1 : 1 + width], t[1 + width :].reshape(width, -1)
        return np.mean(logistic(y * (_relu(scale * x @ weight.T + bias) @ out)))

    return loss


def two_layer_linear(x, y, width):
    def loss(t, scale):
        a, w = t[:width], t[width:].reshape(width, -1)
        return np.mean((scale * x @ (a @ w) / width**0.5 - y) ** 2)

    return loss


def self_stabilizing(alpha, beta):
    return lambda t, lr: (2 / lr + beta**0.5 * t[1]) * t[0] ** 2 / 2 - alpha / beta**0.5 * t[1]


def quadratic_regression(q):
    return lambda t, offset: ((t @ q @ t - offset) / 2) ** 2 / 2


def quadratic_model(y, g, q):
    def loss(t, scale):
        z = scale * y + g @ t + (q @ t) @ t / 2
        return np.sum(z**2) / 2

    return loss


def tanh_unit(x, y, start):
    """Mean half squared error of v tanh(u x), expanded to second order in (u, v) about `start`."""

    def loss(t, scale):
        (u, v), (du, dv) = start, t - start
        s = scale * x
        f = np.tanh(u * s)
        slope = s * (1 - f**2)
        outputs = (v + dv) * f + (v + dv) * slope * du - v * s * f * slope * du**2
        return np.mean((outputs - y) ** 2) / 2

    return loss


def rank_one(t, _):
    x, y = np.split(t, 2)
    square = np.outer(x, y) @ np.outer(x, y)
    return np.sum((np.eye(x.size) - square) ** 2) / 4


# Maps ---------------------------------------------------------------------------------------------------------------


def noise(num_steps: int, shape: tuple[int, ...], dtype, *, leaves: bool) -> list[np.ndarray]:
    """The draws of the noisy processes from ``jax.random.key(0)``; `leaves` where each leaf has a key of its own."""
    key, draws = jax.random.split(jax.random.key(0))[1], []
    for _ in range(num_steps):
        key, use = jax.random.split(key)
        use = jax.random.split(use, 1)[0] if leaves else use
        draws.append(np.asarray(jax.random.normal(use, shape, dtype), float))
    return draws


def _descended(t, lr, *, label=1.0, extra=0.0):
    """A step on (label - x^2 y^2)^2/4 with `extra` on the gradient, and the loss for the label 1."""
    x, y = t
    residual = x**2 * y**2 - label
    gradient = residual * x * y * np.array([y, x]) + extra
    return t - lr * gradient, (1 - x**2 * y**2) ** 2 / 4


def label_noise(t, lr, draw):
    return _descended(t, lr, label=1 + 0.1 * draw)


def gradient_noise(t, lr, draw):
    return _descended(t, lr, extra=0.1 * draw)


def rows_drawn(num_steps: int, num_examples: int, batch_size: int, dtype) -> list[np.ndarray]:
    """The examples of each batch of the processes that draw them, from ``jax.random.key(0)``."""
    key, draws = jax.random.split(jax.random.key(0))[1], []
    for _ in range(num_steps):
        key, use = jax.random.split(key)
        draws.append(np.asarray(draw_batch(use, num_examples, batch_size)))
    return draws


def minibatch_descent(y, g, q):
    """On the mean half squared error of a quadratic model's rows."""

    def step(t, lr, chosen):
        jacobian = g[chosen] + q[chosen] @ t
        z = y[chosen] + (g[chosen] + jacobian) @ t / 2
        return t - lr * z @ jacobian / len(chosen), np.mean(z**2) / 2

    return step


def minibatch_sweep(y, g, q):
    """At lr and lr/2, on the same rows."""
    alone = minibatch_descent(y, g, q)

    def step(t, lr, chosen):
        (first, loss), (second, other) = alone(t[:4], lr, chosen), alone(t[4:], lr / 2, chosen)
        return np.concatenate([first, second]), (loss + other) / 2

    return step


def function_space_descent(q):
    """In (z, J) as one row of numbers, by loops over the examples of a batch."""
    d, p, _ = q.shape

    def step(t, lr, chosen):
        z, jacobian = t[:d], t[d:].reshape(d, p)
        move = -lr * sum(z[i] * jacobian[i] for i in chosen) / len(chosen)
        turn = np.stack([one @ move for one in q])
        new = np.concatenate([z + jacobian @ move + turn @ move / 2, (jacobian + turn).ravel()])
        return new, np.mean(z[chosen] ** 2) / 2

    return step


def self_stabilization(t, lr, _):
    x, y = t
    return np.array([-(1 + lr * y) * x, y + lr * (0.5 - 3 * x**2 / 2)]), np.nan


def mean_model_map(dimension):
    def step(t, lr, _):
        a, b = t
        g = smoothed_relu(b)
        slope = np.tanh(a * g / 2) / 2
        new = np.array([a - 2 * dimension**2 * lr * slope * g, b - lr * slope * a * normal_distribution(b)])
        return new, (logistic(a * g) + logistic(-a * g)) / 2

    return step


def cubic_map(t, offset, _):
    return t * (1 + 8 * offset - 16 * t**2), np.nan


def quadratic_modes(w):
    """In theta = J/w, which descends the quadratic model's loss at the learning rate 1."""

    def step(t, _, __):
        z, theta = t[0], t[1:] / w
        new = theta - z * w * theta
        offset = w @ theta**2 - 2 * z
        return np.concatenate([[(w @ new**2 - offset) / 2], w * new]), z**2 / 2

    return step


def quadratic_moments(w):
    """Through the squares of the modes, which the moments determine."""
    powers = w[None] ** np.arange(w.size)[:, None]

    def step(t, _, __):
        z, squares = t[0], np.linalg.solve(powers, t[1:])
        new = (1 - z * w) ** 2 * squares
        z_new = z - z * squares.sum() + z**2 * (w @ squares) / 2
        return np.concatenate([[z_new], powers @ new]), z**2 / 2

    return step


def two_eigenvalue_map(offset):
    """Through the modes (QR-13), with a = 1/epsilon."""

    def step(t, epsilon, _):
        z, kernel = t
        a, s = 1 / epsilon, 2 * z + offset
        squares = np.array([a * kernel + s, kernel - s]) / (1 + a)
        w = np.array([1, -epsilon])
        new = (1 - z * w) ** 2 * squares
        return np.array([z - z * kernel + z**2 * (w @ squares) / 2, new.sum()]), z**2 / 2

    return step


def batches(num_steps: int, num_examples: int, batch_size: int, dtype) -> list[np.ndarray]:
    """Which examples `LinearSgd` draws from ``jax.random.key(0)``, as 0 and 1."""
    key, masks = jax.random.key(0), []
    for _ in range(num_steps):
        key, use = jax.random.split(key)
        mask = np.zeros(num_examples, dtype)
        mask[np.asarray(draw_batch(use, num_examples, batch_size))] = 1
        masks.append(mask.astype(float))
    return masks


def linear_sgd(jacobian, momentum, l2, batch_size):
    """In parameters: heavy ball on the mean half square of a batch and (l2/2)|theta|^2, z = J theta."""

    def step(t, lr, mask):
        z, velocity = (np.linalg.solve(jacobian, part) for part in np.split(t, 2))
        gradient = jacobian.T @ (mask * (jacobian @ z)) / batch_size + l2 * z
        velocity = momentum * velocity - gradient
        new = np.concatenate([jacobian @ (z + lr * velocity), jacobian @ velocity])
        return new, np.mean((jacobian @ z) ** 2) / 2

    return step


def low_order_map(t, epsilon, _):
    """In delta of QR-21: y = -(1 + delta) |y*|, whose map is one product."""
    z, y = t
    speed = 4 - 3 * epsilon + 4 * epsilon**2
    ratio = 2 * epsilon / speed
    delta = (-y / ratio - 1) * (1 - 2 * speed * z**2)
    return np.array([z + 2 * y * z, -(1 + delta) * ratio]), np.nan
