"""The toy world: parametric objects with exact geometry, their captions and their pictures."""
