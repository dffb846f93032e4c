"""Routing with the semantics of Express 4: routers, routes, layers, and the walk through them."""
