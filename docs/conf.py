"""Sphinx configuration: Markdown pages, API from docstrings."""

project = "precipice"
author = "The precipice developers"
copyright = author
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
exclude_patterns = ["_build"]
autodoc_typehints = "none"
autodoc_member_order = "bysource"
napoleon_google_docstring = True
suppress_warnings = ["myst.xref_missing"]


def _escape(app, what, name, obj, options, lines):
    """Docstrings write norms as |r| and axes as [*sweep, ...]: plain text, not reStructuredText markup."""
    code = (">>>", "...")
    lines[:] = [
        line if line.lstrip().startswith(code) else line.replace("|", r"\|").replace(" *", r" \*").replace("[*", r"[\*")
        for line in lines
    ]


def setup(app):
    """Connect the escape to autodoc."""
    app.connect("autodoc-process-docstring", _escape)
