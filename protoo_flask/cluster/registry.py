"""The registry: which node owns which device, kept in Redis; the directory half of the cluster.

How the parts are joined (``redis_cluster``)::

    calls = HostCalls(loop)                       # one function after the other, in a greenlet
    registry = Registry(loop, keys, calls.post)
    lease = Lease(loop, keys, registry, host, calls.post, node_timeout, subscribe)

    lease.connected(writer, reader)               # blocks until joined; connections just opened
    registry.take_push([b"invalidate", ...])      # the reader's push messages of this kind
    lease.disconnected(reason)                    # one of the two has ended
    lease.node, lease.status, lease.reason, lease.is_deaf, lease.nodes
    lease.forget(node)                            # it has said goodbye on the bus
    lease.leave()                                 # blocks; two seconds at most

``subscribe(node)`` is called before the node joins under an id, the first one and each new one
after having been fenced. It may block until the channel of that id is heard.

The methods of ``Cluster`` from ``claim`` to ``leave_home`` are those of the :class:`Registry`.
"""
