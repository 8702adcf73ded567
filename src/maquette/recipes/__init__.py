"""Named methods: one file per paper, each a function that returns a complete recipe."""
