"""Where in the story of the edge a training is, in a few words."""

from precipice.monitor.history import History
from precipice.monitor.reading import Reading

_WORDS = {
    "NOT_MEASURED": "not measured",
    "SHARPENING": "progressive sharpening",
    "EDGE_OF_STABILITY": "edge of stability",
    "CATAPULT": "above the edge (catapult)",
    "CONVERGENCE": "below the edge, not sharpening",
    "DIVERGENCE": "divergence",
}
WINDOW = 5
"""Readings whose median the phase goes by."""


def phase(history: History) -> str:
    """The phase at the latest reading, by `measures.phases` of the normalised sharpness (whose edge is 1) and the loss.

    Within 20 % of the edge: edge of stability; below and rising: progressive sharpening; below and not rising: below
    the edge; above, and until the loss is back: above the edge. Medians over `WINDOW` readings.

    Args:
        history: with ``normalised_sharpness`` and ``probe_loss``; fewer than two readings of both: "not measured".

    References: definitions in `measures.phases`; the words of Cohen et al. 2021.

    Example:
        >>> from precipice.monitor.reading import Rates
        >>> from precipice.monitor.setting import Setting
        >>> history = History(Setting("squared", "sgd", batch_size=8, num_examples=100))
        >>> for step in range(10):
        ...     found = {"normalised_sharpness": 0.05 * step, "probe_loss": 1.0 - 0.05 * step}
        ...     history = history.appended(Reading(step, (Rates(0.1, 20.0),), found))
        >>> phase(history)
        'progressive sharpening'
    """
    both = [r for r in history.readings if "normalised_sharpness" in r.values and "probe_loss" in r.values]
    if len(both) < 2 or not both[0]["probe_loss"] > 0:
        return _WORDS["NOT_MEASURED"]
    import numpy as np

    from precipice.measures import Phase, phases

    sharpness, loss = (np.array([r[name] for r in both], float) for name in ("normalised_sharpness", "probe_loss"))
    return _WORDS[Phase(int(phases(sharpness, loss, 1.0, window=WINDOW)[-1])).name]


def with_error(reading: Reading, name: str) -> str:
    """``0.512 (error 0.003)``, or the value alone.

    Example:
        >>> from precipice.monitor.reading import Rates
        >>> with_error(Reading(0, (Rates(0.1, 20.0),), {"sharpness": 2.0}, {"sharpness": 0.01}), "sharpness")
        '2 (error 0.01)'
    """
    error = reading.error(name)
    return f"{reading[name]:.3g}" + (f" (error {error:.1g})" if error is not None else "")
