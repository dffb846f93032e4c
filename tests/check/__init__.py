"""Tests of ``flask protoo check``."""
