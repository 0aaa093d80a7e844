"""Figures of precipice itself, beyond the papers."""
