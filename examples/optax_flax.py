"""An optax loop over a flax model, watched: python examples/optax_flax.py picture.png [steps]."""

import sys

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from sklearn.datasets import load_digits

from precipice import dynamics, monitor

images, labels = load_digits(return_X_y=True)
x, y = jnp.asarray(images.reshape(-1, 8, 8, 1) / 16, jnp.float32), jnp.asarray(labels)
network = nn.Sequential(
    [nn.Conv(16, (3, 3)), nn.relu, lambda a: a.reshape(len(a), -1), nn.Dense(32), nn.relu, nn.Dense(10)]
)
params = network.init(jax.random.key(0), x[:1])
loss = monitor.SplitLoss(
    lambda params, batch: network.apply(params, batch[0]),
    lambda outputs, batch: optax.softmax_cross_entropy_with_integer_labels(outputs, batch[1]).mean(),
)
adam = dynamics.Optimiser(optax.adamw, {"learning_rate": 2e-3, "weight_decay": 1e-4})


@jax.jit
def step(params, state, key):
    """One step on a random batch of 64."""
    rows = jax.random.choice(key, len(y), (64,), replace=False)
    updates, state = adam.update(jax.grad(loss)(params, (x[rows], y[rows])), state, params)
    return optax.apply_updates(params, updates), state


state = adam.init(params)
probe = (x[:512], y[:512])  # a fixed part of the data, which measurements run on
watch = monitor.JaxMonitor(loss, probe, adam, batch_size=64, kind="cross-entropy", every=20, budget=None)
for key in jax.random.split(jax.random.key(1), int(sys.argv[2]) if len(sys.argv) > 2 else 200):
    params, state = step(params, state, key)
    watch.step(params, state)  # leave budget out in a long training: measurements then take 5 % of it

watch.summary()
print(*watch.advice(), sep="\n")
watch.plot(sys.argv[1])
