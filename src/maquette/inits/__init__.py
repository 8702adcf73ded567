"""Starts: what the scene is before the first step."""
