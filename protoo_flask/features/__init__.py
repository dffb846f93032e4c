"""The built-in middleware; each folder has a pure model, and the middleware that mounts it."""
