"""Figures of Ahn et al., 2023, Learning threshold neurons via the edge of stability (key: ahn2022)."""
