"""Regular expressions that no path of a peer can keep busy."""
