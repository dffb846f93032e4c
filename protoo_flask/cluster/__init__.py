"""The cluster on Redis (or Valkey): implements ``core.cluster.protocol``."""
