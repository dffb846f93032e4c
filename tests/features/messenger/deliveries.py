"""Messages with a report, and the reactions of the devices that get them."""

from __future__ import annotations

from .messengers import Messenger

# Reactions of a device to the message.


def accept(status=200, reason="OK", **data):
    return lambda messenger, client, request: client.respond(request, status, reason, data)


def reject(status, reason="", **data):
    return accept(status, reason, **data)


def leave(messenger, client, request):
    client.drop()


def time_out(messenger, client, request):
    messenger.core.scheduler.advance(10)


def cancel(messenger, client, request):
    (transaction,) = client.peer.outbound.unanswered
    transaction.cancel()


def report(delivered="", failed="", **data):
    """Return the data of an answer with a report: ``report("b1", "b2 b3")``."""
    return {**data, "delivered": delivered.split(), "failed": failed.split()}


def start(mode, uuids, path="/users/bob", **options):
    """Send a message to Bob; returns the messenger, and the requests to his devices."""
    names = ["alice/a1", *(f"bob/{uuid}" for uuid in sorted(uuids))]
    messenger = Messenger(*names, report=mode, **options)
    messenger["alice/a1"].start_request("message", path, {"text": "hi"})
    return messenger, messenger.take_requests()


def act(messenger, requests, uuid, do):
    do(messenger, messenger[f"bob/{uuid}"], requests.get(uuid))
