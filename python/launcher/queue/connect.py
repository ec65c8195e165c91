"""Redis clients from URLs."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit, urlunsplit

import redis.asyncio as redis
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError, ResponseError, TimeoutError

from ..settings import SettingsError

#: what a Redis that restarts looks like
LOST = (ConnectionError, TimeoutError, OSError)
#: away, or there and taking nothing: out of memory, unable to save, a replica
UNWELL = (*LOST, ResponseError)

_SCHEMES = ("redis", "rediss", "unix", "redis+cluster", "rediss+cluster", "redis+sentinel", "rediss+sentinel")


def connect(url: str) -> Any:
    """A client for ``redis://``, ``rediss://``, ``unix://`` (as redis-py has them), ``redis+cluster://host:port`` and
    ``redis+sentinel://[user:password@]host:port,host:port/service[/db]``; with ``rediss+`` all connections are TLS.

    Options of redis-py may follow as a query: ``?ssl_ca_certs=/etc/ca.pem``.

    :raises SettingsError: for a URL that cannot be read; its text has no password
    """
    scheme = urlsplit(url).scheme
    if scheme not in _SCHEMES:
        raise SettingsError(f"The queue's URL begins with `{scheme}:`; there are {', '.join(_SCHEMES)}")
    try:
        if scheme.endswith("+sentinel"):
            return _sentinel(url)
        return _one_or_cluster(url, scheme)
    except (TypeError, ValueError) as error:
        raise SettingsError(f"The queue's URL ({scheme}://...) cannot be read: {error}") from None


def _options() -> dict[str, Any]:
    return {
        "decode_responses": True,
        # Anybody can add a message; one that is not UTF-8 must come through, to be refused by itself.
        "encoding_errors": "surrogateescape",
        "socket_timeout": 5.0,
        "socket_connect_timeout": 2.0,
        "socket_keepalive": True,
        "health_check_interval": 15,
        "retry": Retry(ExponentialBackoff(cap=0.5, base=0.05), 3),
    }


def _one_or_cluster(url: str, scheme: str) -> Any:
    options = _options()
    if scheme == "unix":
        del options["socket_connect_timeout"], options["socket_keepalive"]
    if scheme.endswith("+cluster"):
        from redis.asyncio.cluster import RedisCluster

        return RedisCluster.from_url(url.replace("+cluster", "", 1), **options)
    return redis.Redis.from_url(url, **options)


def _sentinel(url: str) -> Any:
    from redis.asyncio.sentinel import Sentinel

    parts = urlsplit(url)
    credentials, _, hosts = parts.netloc.rpartition("@")
    service, _, database = parts.path.strip("/").partition("/")
    nodes = []
    for host in hosts.split(","):
        name, _, port = host.partition(":")
        nodes.append((name, int(port or 26379)))
    # What redis-py reads of a URL with one host holds for the servers behind the sentinels.
    plain = urlunsplit(("redis", f"{credentials}@host" if credentials else "host", f"/{database or 0}", parts.query, ""))
    asked: dict[str, Any] = {**parse_url(plain)}
    del asked["host"]
    options = {**_options(), **asked}
    own: dict[str, Any] = {"socket_timeout": 2.0, "socket_connect_timeout": 2.0}
    for name in ("username", "password"):
        if f"sentinel_{name}" in options:
            own[name] = options.pop(f"sentinel_{name}")
    if parts.scheme == "rediss+sentinel":
        options["ssl"] = True
        own.update({"ssl": True, **{name: value for name, value in options.items() if name.startswith("ssl_")}})
    return Sentinel(nodes, sentinel_kwargs=own).master_for(service or "mymaster", **options)
