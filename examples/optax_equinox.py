"""An optax loop over an equinox model, watched: python examples/optax_equinox.py picture.png [steps]."""

import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from sklearn.datasets import load_digits

from precipice import dynamics, monitor

images, labels = load_digits(return_X_y=True)
x, y = jnp.asarray(images / 16, jnp.float32), jnp.asarray(labels)
model = eqx.nn.MLP(64, 10, 64, 2, key=jax.random.key(0))
loss = monitor.SplitLoss(
    lambda model, batch: jax.vmap(model)(batch[0]),
    lambda outputs, batch: optax.softmax_cross_entropy_with_integer_labels(outputs, batch[1]).mean(),
)
sgd = dynamics.Optimiser(optax.sgd, {"learning_rate": 0.1, "momentum": 0.9})

before = monitor.largest_stable_lr(loss, model, (x, y), batch_size=64, optimiser=sgd, kind="cross-entropy")
print(f"At the start: {before.advice[0].text}")


@eqx.filter_jit
def step(model, state, key):
    """One step on a random batch of 64."""
    rows = jax.random.choice(key, len(y), (64,), replace=False)
    gradient = eqx.filter_grad(loss)(model, (x[rows], y[rows]))
    updates, state = sgd.update(gradient, state, eqx.filter(model, eqx.is_inexact_array))
    return eqx.apply_updates(model, updates), state


state = sgd.init(eqx.filter(model, eqx.is_inexact_array))
watch = monitor.JaxMonitor(loss, (x, y), sgd, batch_size=64, kind="cross-entropy", every=20, budget=None)
for key in jax.random.split(jax.random.key(1), int(sys.argv[2]) if len(sys.argv) > 2 else 400):
    model, state = step(model, state, key)
    watch.step(model, state)  # leave budget out in a long training: measurements then take 5 % of it

watch.summary()
print(*watch.advice(), sep="\n")
watch.plot(sys.argv[1])
