"""Renderers: a readable twin beside every fast kernel."""
