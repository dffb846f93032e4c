"""Compares this project with others: see README.md, and ``python dev.py bench --help``."""
