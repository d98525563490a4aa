"""Restart a script or the Jupyter kernel itself when your files change."""

__version__ = "0.1.0"
