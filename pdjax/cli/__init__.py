"""The command line: words in, calls out."""

from pdjax.cli.commands import app, main

__all__ = ["app", "main"]
