"""Command line: what ``autorec`` does, one module a command.

Imports everything; nothing imports it. MXNet only when a command runs.
"""
