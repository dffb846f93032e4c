"""Measures this project beside others: see README.md, and ``python dev.py bench --help``."""
