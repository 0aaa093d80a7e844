"""Zhu et al. 2023: understanding edge-of-stability training dynamics with a minimalist example."""
