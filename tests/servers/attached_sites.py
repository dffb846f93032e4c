"""The sites, with connections that all stay with their server, as if TLS ended in it."""

from protoo_flask.site import views

from .sites import create_app

views.can_leave = lambda environ, loop: False

__all__ = ["create_app"]
