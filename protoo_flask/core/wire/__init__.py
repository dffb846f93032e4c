"""The wire format: messages as they are declared, and the dialect that reads and writes them."""
