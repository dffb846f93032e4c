"""Tests of the Python client, against real servers and against scripted ones."""
