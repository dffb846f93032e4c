"""Names: usernames and uuids of the site, as strings."""

from __future__ import annotations

import enum
import uuid

import pytest
from markupsafe import Markup
from werkzeug.local import LocalProxy

from protoo_flask.core.errors import BadName, UsageError
from protoo_flask.core.names import to_address, to_name, to_name_or_none

UUID = uuid.UUID("12345678123456781234567812345678")


class Role(str, enum.Enum):
    ADMIN = "admin"


class Number(enum.IntEnum):
    SEVEN = 7


class Int64:
    """A number that is no int, like those of numpy."""

    def __index__(self):
        return 7


class DriversUuid(uuid.UUID):
    """The UUID of a database driver."""


class Bool:
    """Looks like a number, like numpy's booleans of old."""

    def __index__(self):
        raise TypeError


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("alice", "alice"),
        ("", ""),
        (7, "7"),
        (0, "0"),
        (-1, "-1"),
        (2**70, str(2**70)),
        (Markup("<b>"), "<b>"),
        (Role.ADMIN, "admin"),
        (Number.SEVEN, "7"),
        (Int64(), "7"),
        (UUID, "12345678-1234-5678-1234-567812345678"),
        (DriversUuid(int=UUID.int), "12345678-1234-5678-1234-567812345678"),
        (LocalProxy(lambda: "alice"), "alice"),
        (LocalProxy(lambda: 7), "7"),
        (LocalProxy(lambda: UUID), "12345678-1234-5678-1234-567812345678"),
    ],
    ids=repr,
)
def test_ids_of_databases_become_plain_strings(value, name):
    assert to_name(value, "peers(username)") == name
    assert type(to_name(value, "peers(username)")) is str


@pytest.mark.parametrize(
    "value",
    [
        *(
            None,
            True,
            False,
            b"alice",
            bytearray(b"a"),
            7.0,
            float("nan"),
            7j,
            ["alice"],
            ("alice",),
        ),
        *({"username": "alice"}, {"alice"}, object(), Role, str, Bool(), print),
        *(LocalProxy(lambda: None), LocalProxy(lambda: True), LocalProxy(lambda: b"alice")),
    ],
    ids=repr,
)
def test_other_values_are_refused_with_the_way_out(value):
    with pytest.raises(BadName) as caught:
        to_name(value, "peers(username)")

    assert isinstance(caught.value, (UsageError, TypeError))
    text = str(caught.value)
    assert text.startswith(f"peers(username) takes a string, not {value!r}; an integer or a UUID")
    assert ("decode() it" if isinstance(value, bytes) else "str(...)") in text


def test_no_name_may_stand_for_all():
    assert to_name_or_none(None, "peers(username)") is None
    assert to_name_or_none(7, "peers(username)") == "7"
    with pytest.raises(BadName):
        to_name_or_none(False, "peers(username)")


def test_the_names_of_an_address_become_strings_and_the_rest_stays():
    address = {"username": "alice", "uuid": "a1", "name": "Alice"}
    assert to_address(address, "sender") is address
    assert to_address({**address, "username": 7, "uuid": UUID}, "sender") == {
        "username": "7",
        "uuid": str(UUID),
        "name": "Alice",
    }


@pytest.mark.parametrize(
    "address",
    [
        *("alice", ("alice", "a1"), {}, {"username": "alice"}, {"uuid": "a1"}),
        {"username": "alice", "uuid": None},
    ],
    ids=repr,
)
def test_an_incomplete_address_is_refused(address):
    with pytest.raises(BadName, match=r"sender takes"):
        to_address(address, "sender")
