"""Rates: limits on how often paths may be asked."""
