"""``flask protoo peers``, ``send`` and ``disconnect``: the peers of a site, from a terminal.

The command is a process of its own. It joins the cluster of the site as a node without peers, and
leaves at its end. Without ``PROTOO_CLUSTER_URL``, only the process of the server knows its peers.
"""

from __future__ import annotations

import contextlib
import json
import logging
import time
from typing import TYPE_CHECKING, Any, Iterator

import click
from flask import current_app
from flask.cli import with_appcontext

from .core.cluster.places import Place
from .core.cluster.protocol import AWAY, AWAY_MESSAGE, SETTLING, ClusterAway
from .core.errors import UsageError
from .core.excerpts import excerpt
from .core.peers.peer import Peer
from .core.request import Request
from .terminal_table import echo_table

if TYPE_CHECKING:
    from .site.site import Site

#: Characters of ``peer.data`` that are printed.
DATA_WIDTH = 40

_NO_CLUSTER = (
    "this process cannot reach the peers of the server, as PROTOO_CLUSTER_URL is not set: set it "
    'for the server and for this command, like PROTOO_CLUSTER_URL = "redis://localhost:6379/0" '
    "(docs/cluster.md)"
)


@click.command("peers")
@click.argument("username", required=False)
@with_appcontext
def show_peers(username: str | None) -> None:
    """Print the devices of a user, or of all users, and the worker that each is connected to."""
    places = _find_places(_reach(), username)
    if not places:
        click.echo("nobody is online" if username is None else f"{excerpt(username)} is offline")
        return
    places.sort(key=lambda place: (place.username, place.uuid))
    echo_table(
        ("username", "uuid", "state", "since", "worker", "data"),
        [_describe(place) for place in places],
    )
    users = {place.username for place in places}
    workers = {place.node for place in places}
    click.echo(
        f"{_count(len(places), 'device')} of {_count(len(users), 'user')} "
        f"at {_count(len(workers), 'worker')}"
    )


@click.command("send")
@click.argument("username")
@click.argument("method")
@click.argument("data", metavar="[JSON]", default="{}")
@click.option("--uuid", help="Only to this device.")
@click.option(
    "--request", "is_request", is_flag=True, help="Send a request, and print the answers."
)
@with_appcontext
def send(username: str, method: str, data: str, uuid: str | None, is_request: bool) -> None:
    """Send a notification to the devices of a user: flask protoo send bob news '{"title": "Hi"}'.

    With --request, the exit status is 1 unless all devices answer with success.
    """
    content = _parse(data)
    peers = _find_peers(_reach(), username, uuid)
    if not is_request:
        count = sum(peer.notify(method, content) for peer in peers)
        click.echo(f"sent to {_count(count, 'device')}")
        return
    are_fine = True
    # All at once: each device may take its time to answer.
    for peer, transaction in [(peer, _ask(peer, method, content)) for peer in peers]:
        response = transaction.wait()
        are_fine = are_fine and response.status < 300
        answer = f"{response.status} {excerpt(response.reason)} {json.dumps(response.data)}"
        click.echo(f"{excerpt(peer.uuid)}: {answer}")
    if not are_fine:
        raise click.exceptions.Exit(1)


@click.command("disconnect")
@click.argument("username")
@click.option("--uuid", help="Only this device.")
@with_appcontext
def disconnect(username: str, uuid: str | None) -> None:
    """Close the connections of a user with 3001: their clients do not come back by themselves.

    Change the database first: the next handshake of the user asks the authorizer.
    """
    count = _reach().disconnect(username, uuid)
    click.echo(f"closed {_count(count, 'connection')}")


def find_site() -> Site:
    """Return the site of the current app.

    :raises ClickException: when the app has no Protoo. `flask protoo` exists for it as well.
    """
    site: Site | None = current_app.extensions.get("protoo")
    if site is None:
        raise click.ClickException(
            f"the app {current_app.name!r} has no Protoo: call Protoo(app), or protoo.init_app(app)"
        )
    return site


def _reach() -> Site:
    """Return the site, which is in its cluster now.

    :raises ClickException: when it cannot be; it tells why.
    """
    site = find_site()
    if not site.is_clustered:
        raise click.ClickException(_NO_CLUSTER)
    try:
        with _told_once(current_app.logger):
            site.expect_peers("peers")
    except UsageError as error:  # a setting that cannot work
        raise click.ClickException(str(error)) from None
    assert site.membership is not None
    cluster = site.membership.cluster
    if cluster.status == AWAY:
        raise click.ClickException(f"the cluster cannot be reached: {cluster.reason}")
    if cluster.status == SETTLING:
        click.echo(f"some peers may be missing: {cluster.reason}", err=True)
    return site


@contextlib.contextmanager
def _told_once(logger: logging.Logger) -> Iterator[None]:
    """Keep out of the log that the cluster cannot be reached: the command says so itself."""

    def is_new(record: logging.LogRecord) -> bool:
        return record.msg != AWAY_MESSAGE

    logger.addFilter(is_new)
    try:
        yield
    finally:
        logger.removeFilter(is_new)


def _find_places(site: Site, username: str | None) -> list[Place]:
    assert site.membership is not None
    try:
        return site.membership.cluster.find(username)
    except ClusterAway as error:
        raise click.ClickException(f"the cluster cannot be reached: {error}") from None


def _find_peers(site: Site, username: str, uuid: str | None) -> list[Peer]:
    peers = site.peers(username, uuid)
    if not peers:
        device = "" if uuid is None else f" at {excerpt(uuid)}"
        raise click.ClickException(f"{excerpt(username)} is offline{device}")
    return peers


def _ask(peer: Peer, method: str, data: dict[str, Any]) -> Any:
    return peer.send(Request(method, data))


def _parse(data: str) -> dict[str, Any]:
    try:
        content = json.loads(data)
    except ValueError as error:
        raise click.UsageError(f"the data is no JSON: {error}") from None
    if not isinstance(content, dict):
        raise click.UsageError(f'the data is an object, like \'{{"title": "Hi"}}\', not {data}')
    return content


def _describe(place: Place) -> tuple[str, ...]:
    # By the clock of Redis, in the time zone of this terminal.
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(place.since))
    data = excerpt(place.data.decode("utf-8", "replace"))
    if len(data) > DATA_WIDTH:
        data = f"{data[: DATA_WIDTH - 3]}..."
    state = "online" if place.online else "away"
    return excerpt(place.username), excerpt(place.uuid), state, since, place.node, data


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
