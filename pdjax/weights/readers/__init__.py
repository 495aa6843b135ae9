"""Readers of weight files, one for each format; nothing in a file is ever run."""
