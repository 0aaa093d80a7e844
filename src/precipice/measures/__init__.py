"""Measures: thresholds as formulas, probes and trackers that apply the curvature room along a training."""

from precipice.measures.edge import edge as edge
from precipice.measures.probes import accuracy as accuracy
from precipice.measures.probes import gradient_norm as gradient_norm
from precipice.measures.probes import sharpness as sharpness
from precipice.measures.trackers import track_hessian as track_hessian
from precipice.measures.trackers import track_ntk as track_ntk
