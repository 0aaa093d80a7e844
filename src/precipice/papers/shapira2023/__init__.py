"""Shapira 2023: a review of Cohen et al. 2021, Damian et al. 2022 and Li et al. 2022."""
