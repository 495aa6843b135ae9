"""``python -m pdjax`` is the command line."""

from pdjax.cli import main

if __name__ == "__main__":
    main()
