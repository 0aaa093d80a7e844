"""Agarwala and Pennington 2024: high dimensional analysis reveals conservative sharpening and a stochastic edge."""
