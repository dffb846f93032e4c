"""The figures of docs/architecture.md, drawn from the code."""
