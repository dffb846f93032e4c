"""Transactions: requests and the responses that belong to them, in both directions."""
