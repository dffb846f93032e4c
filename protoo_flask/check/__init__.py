"""``flask protoo check``: what of a site's configuration is unsafe, or will not work."""
