"""A cluster, as the core sees it: one app in many processes that find each other's peers."""
