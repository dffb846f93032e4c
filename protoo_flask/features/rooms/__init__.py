"""Rooms: sessions with many members."""
