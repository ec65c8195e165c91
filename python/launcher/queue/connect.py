"""Redis clients from URLs."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urlsplit

import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError, TimeoutError

#: what a Redis that restarts looks like
LOST = (ConnectionError, TimeoutError, OSError)


def connect(url: str) -> Any:
    """A client for ``redis://``, ``rediss://``, ``unix://`` (as redis-py has them), ``redis+cluster://host:port`` and
    ``redis+sentinel://[user:password@]host:port,host:port/service[/db]``."""
    options: dict[str, Any] = {
        "decode_responses": True,
        "socket_timeout": 5.0,
        "socket_connect_timeout": 2.0,
        "socket_keepalive": True,
        "health_check_interval": 15,
        "retry": Retry(ExponentialBackoff(cap=0.5, base=0.05), 3),
    }
    scheme = urlsplit(url).scheme
    if scheme.startswith("unix"):
        options.pop("socket_connect_timeout")
        options.pop("socket_keepalive")
    if scheme in ("redis+cluster", "rediss+cluster"):
        from redis.asyncio.cluster import RedisCluster

        return RedisCluster.from_url(url.replace("+cluster", "", 1), **options)
    if scheme in ("redis+sentinel", "rediss+sentinel"):
        return _sentinel(url, options)
    return redis.Redis.from_url(url, **options)


def _sentinel(url: str, options: dict[str, Any]) -> Any:
    from redis.asyncio.sentinel import Sentinel

    parts = urlsplit(url)
    credentials, _, hosts = parts.netloc.rpartition("@")
    user, _, password = credentials.partition(":")
    service, _, database = parts.path.strip("/").partition("/")
    nodes = []
    for host in hosts.split(","):
        name, _, port = host.partition(":")
        nodes.append((name, int(port or 26379)))
    if parts.scheme.startswith("rediss"):
        options["ssl"] = True
    sentinel = Sentinel(nodes, socket_timeout=2.0)
    return sentinel.master_for(
        service or "mymaster",
        db=int(database or 0),
        username=unquote(user) or None,
        password=unquote(password) or None,
        **options,
    )
