"""Regulators of the gradient on the rendered pixels."""
