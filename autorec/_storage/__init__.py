"""Storage: files and folders that are written whole or not at all, and checked when they are read.

Imports errors only.
"""
