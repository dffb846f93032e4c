"""A console on a connection: ``python -m protoo_flask.client URL``."""
