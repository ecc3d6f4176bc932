"""``python -m autorec`` is the command ``autorec``."""

from .cli import main

main()
