"""Exports: files that other programs can open."""
