"""Studies: grids of runs. The machinery for sweeps comes with its own issue; figures run through `papers.runner`."""
