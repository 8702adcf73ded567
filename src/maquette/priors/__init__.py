"""Priors: pretrained 2D models that say which way a picture should move."""
