"""precipice: training dynamics at the edge of stability.

Rooms, from the bottom up: `problems` (what is trained), `curvature` (operators and their spectra), `results` (names,
labels, the store), `measures` (thresholds and probes), `dynamics` (processes and the loops that watch them), `studies`,
`figures`, `papers`. Import the room you need: ``from precipice import curvature, problems``.
"""

__version__ = "0.1.0"
