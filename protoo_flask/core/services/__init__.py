"""What the ready-made middleware is made of: calls, rooms, presence, ICE servers."""
