"""The built-in middleware: each folder has a pure model and its middleware."""
