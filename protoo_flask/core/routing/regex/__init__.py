"""Regular expressions, matched in linear time whatever path a peer sends."""
