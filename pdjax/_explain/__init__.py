"""Explaining one image, driven from the host: progress, checkpoints, budgets and previews."""
