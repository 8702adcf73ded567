"""Maquette: text to 3D by score distillation."""
