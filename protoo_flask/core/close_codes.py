"""WebSocket close codes (RFC 6455 section 7.4.1; 3000 to 3999 are for libraries)."""

from __future__ import annotations

NORMAL_CLOSURE = 1000
GOING_AWAY = 1001
PROTOCOL_ERROR = 1002
INVALID_DATA = 1007
POLICY_VIOLATION = 1008
TOO_BIG = 1009
INTERNAL_ERROR = 1011
#: Of IANA's registry of WebSocket close codes.
SERVICE_RESTART = 1012
#: Of the same registry.
TRY_AGAIN_LATER = 1013
ONLINE_ELSEWHERE = 3000
AUTHORIZATION_REVOKED = 3001
#: From protoo.js: the page is gone, closed or about to be reloaded. A browser does not tell which.
PAGE_GONE = 3003

#: Codes that stand for a missing one (section 7.1.5): an empty Close frame, and a connection
#: that ended without a Close frame. They are never sent.
NO_STATUS = 1005
ABNORMAL_CLOSURE = 1006

#: The codes of a client that does not mean to come back. ``new WebSocket(...).close()`` sends a
#: Close frame without a code.
LEAVING = (NORMAL_CLOSURE, NO_STATUS)

#: Codes after which a client does not come back by itself.
FINAL_CODES = (NORMAL_CLOSURE, ONLINE_ELSEWHERE, AUTHORIZATION_REVOKED)
