"""Figures: from datasets to pictures and reports. Nothing here imports JAX.

`claims.py` judges datasets, `style.py` gives all pictures one look, `gallery.py` makes contact sheets.
"""
