"""The WebSocket protocol (RFC 6455): handshake, frames, compression. No I/O."""
