"""SGD on linear models by hand: every batch written out, draws of the reference cases, sums of responses."""

import itertools

import numpy as np

SETTINGS = ("flat", "dispersed", "localized")
BATCH = 5


def generator(seed):
    return np.random.Generator(np.random.PCG64(seed))


def kernel_of(setting: str, seed: int = 0, size: int = 100, width: int = 120) -> np.ndarray:
    """The kernels of the reference cases (agarwala2024, appendix A.4)."""
    r = generator(seed)
    if setting == "dispersed":
        q, upper = np.linalg.qr(r.standard_normal((size, size)))
        vectors = q * np.sign(np.diag(upper))
        return (vectors / (np.arange(1, size + 1) ** 2 + 1.0)) @ vectors.T
    extra = np.diag(np.abs(0.1 * r.standard_normal(size))) if setting == "localized" else 0
    jacobian = r.standard_normal((size, width))
    return extra + jacobian @ jacobian.T / size


def masks(num_examples: int, batch_size: int, num_outputs: int = 1) -> np.ndarray:
    """Every batch as the diagonal of its projection [batches, D C]."""
    found = []
    for batch in itertools.combinations(range(num_examples), batch_size):
        mask = np.zeros(num_examples)
        mask[list(batch)] = 1
        found.append(np.repeat(mask, num_outputs))
    return np.array(found)


def step_matrices(kernel, lr, batch_size, *, momentum=None, l2=0.0, num_outputs=1) -> np.ndarray:
    """What each batch does to z, or with momentum to (z, v)."""
    n = len(kernel)
    num_examples, eye, found = n // num_outputs, np.eye(n), []
    for mask in masks(num_examples, batch_size, num_outputs):
        pull = num_examples / batch_size * kernel * mask[None] + l2 * eye
        if momentum is None:
            found.append(eye - lr * pull)
        else:
            found.append(np.block([[eye - lr * pull, lr * momentum * eye], [-pull, momentum * eye]]))
    return np.array(found)


def enumerated(kernel, lr, batch_size, **more) -> np.ndarray:
    """T on entries in row-major order: the mean of M (x) M over all batches."""
    return np.mean([np.kron(m, m) for m in step_matrices(kernel, lr, batch_size, **more)], axis=0)


def radius(matrix) -> float:
    return float(np.abs(np.linalg.eigvals(matrix)).max())


def random_kernel(seed: int, size: int, rank: int | None = None) -> np.ndarray:
    jacobian = np.random.default_rng(seed).normal(size=(size, size + 1 if rank is None else rank))
    return jacobian @ jacobian.T / size


def summed_response(lr, eigenvalue, momentum=0.0, l2=0.0, *, nesterov=False, steps=200_000) -> float:
    """lr^-2 times the summed squares of z after a unit kick of the gradient, from the recursions in z and v."""
    z, v, total = 0.0, 0.0, 0.0
    for t in range(steps):
        g = (1.0 if t == 0 else 0.0) - (eigenvalue + l2) * z
        v = momentum * v + g
        z += lr * (g + momentum * v if nesterov else v)
        total += z**2
        if t > 10 and z**2 + v**2 < 1e-34 * total:
            break
    return total
