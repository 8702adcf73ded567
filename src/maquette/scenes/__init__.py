"""Scenes: what is optimised."""
