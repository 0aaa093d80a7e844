"""Papers: the figures that precipice reproduces, one folder a paper (`figure.py` says what a figure is)."""
