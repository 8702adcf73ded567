"""Fair tables: many prompts, recipes and seeds at one budget, with intervals."""
