"""Names of peers: usernames and uuids, as the site writes them.

They are strings here and on the wire. Databases have numbers and UUIDs for ids, so these are
converted wherever the site passes one.
"""

from __future__ import annotations

from typing import Any, SupportsInt, Union

from .errors import BadName, Reject
from .excerpts import excerpt_of

#: Characters of a username, or of another name that a peer writes into a path: the id of a
#: room, say. An e-mail address has at most 254 (RFC 5321 section 4.5.3.1.3). Names are kept and
#: repeated to others, and those in paths are untrusted.
MAX_NAME_LENGTH = 256

#: The types that are converted. All integers and UUIDs have ``int()``; floats have it as well,
#: and are refused when the program runs.
Name = Union[str, SupportsInt]


def to_name(value: Any, where: str) -> str:
    """Return a username or uuid as a string.

    >>> to_name("alice", "peers(username)"), to_name(7, "peers(username)")
    ('alice', '7')

    A subclass of ``str``, a member of an enumeration, a number of numpy's and a proxy of
    werkzeug's become plain strings. A UUID is written as ``str()`` writes it.

    :param where: the argument or value, for the error: ``peers(username)``.
    :raises BadName: for any other value. Most of them would find nobody without a word:
        ``str(user)`` is no username, and ``str(None)`` is "None".
    """
    if type(value) is str:
        return value
    if isinstance(value, str):
        # Not str(value), which is another text for a member of an enumeration. A proxy is a str
        # only in name.
        return str.__str__(value) if issubclass(type(value), str) else str(value)
    if not isinstance(value, bool):
        number = _to_integer(value)
        if number is not None:
            return str(number)
    if _is_uuid(value):
        return str(value)
    way_out = "decode() it" if isinstance(value, bytes) else "str(...) converts ids of other types"
    raise BadName(
        f"{where} takes a string, not {excerpt_of(value)}; an integer or a UUID is fine, too, "
        f"and {way_out}"
    )


def to_name_or_none(value: Any, where: str) -> str | None:
    """Return a name as a string, or ``None`` for ``None``.

    :raises BadName: as :func:`to_name`.
    """
    return None if value is None else to_name(value, where)


def check_length(name: str, description: str) -> None:
    """Return when a name is not too long.

    >>> check_length("x" * 257, "a username")
    Traceback (most recent call last):
    protoo_flask.core.errors.Reject: 414 a username has at most 256 characters

    :param name: untrusted.
    :raises Reject: 414 otherwise, as for a path that is too long.
    """
    if len(name) > MAX_NAME_LENGTH:
        raise Reject(414, f"{description} has at most {MAX_NAME_LENGTH} characters")


def to_address(value: Any, where: str) -> dict[str, Any]:
    """Return the address of a sender with names that are strings.

    >>> to_address({"username": 7, "uuid": "a1"}, "notify(sender=...)")
    {'username': '7', 'uuid': 'a1'}

    :raises BadName: when it has no username or no uuid; a client could not read the message.
    """
    if not isinstance(value, dict) or "username" not in value or "uuid" not in value:
        raise BadName(f'{where} takes {{"username": ..., "uuid": ...}}, not {excerpt_of(value)}')
    username, uuid = value["username"], value["uuid"]
    if type(username) is str and type(uuid) is str:
        return value
    return {**value, "username": to_name(username, where), "uuid": to_name(uuid, where)}


def _to_integer(value: Any) -> int | None:
    """Return a number of any integer type; ``None`` if it is something else."""
    try:
        return int(value.__index__())
    except (AttributeError, TypeError):
        return None


def _is_uuid(value: Any) -> bool:
    # The core does not import that module, which asks the operating system for random bytes.
    # The class of a proxy is that of its object; drivers have subclasses.
    kinds = [(kind.__module__, kind.__name__) for kind in value.__class__.__mro__]
    return ("uuid", "UUID") in kinds
