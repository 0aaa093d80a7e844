"""Measures: thresholds as formulas, probes and trackers that apply the curvature room along a training."""

from precipice.measures.degree_two import degree_two_edge_minimum as degree_two_edge_minimum
from precipice.measures.degree_two import degree_two_ellipse as degree_two_ellipse
from precipice.measures.degree_two import degree_two_entries as degree_two_entries
from precipice.measures.degree_two import degree_two_final_sharpness as degree_two_final_sharpness
from precipice.measures.degree_two import degree_two_offset as degree_two_offset
from precipice.measures.degree_two import degree_two_step as degree_two_step
from precipice.measures.degree_two import degree_two_two_step as degree_two_two_step
from precipice.measures.edge import edge as edge
from precipice.measures.probes import accuracy as accuracy
from precipice.measures.probes import gradient_norm as gradient_norm
from precipice.measures.probes import sharpness as sharpness
from precipice.measures.scalar_networks import degree_three_edge_minima as degree_three_edge_minima
from precipice.measures.scalar_networks import degree_three_sharpness as degree_three_sharpness
from precipice.measures.scalar_networks import scalar_network_gradient as scalar_network_gradient
from precipice.measures.scalar_networks import scalar_network_hessian as scalar_network_hessian
from precipice.measures.scalar_networks import scalar_network_minimum_sharpness as scalar_network_minimum_sharpness
from precipice.measures.scalar_networks import scalar_network_probe as scalar_network_probe
from precipice.measures.trackers import track_hessian as track_hessian
from precipice.measures.trackers import track_ntk as track_ntk
