"""Files in: data and http(s) URLs to temporary files. Files out: data URLs, or uploaded.

A URL comes from a client, so the address it leads to is checked at the moment of connecting (a name that resolves to
a public address now may resolve to a private one later), at every redirect, and the size is counted as it arrives.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import copy
import errno
import http.client
import ipaddress
import logging
import os
import shutil
import socket
import ssl
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any, Container

from .data_urls import decode_data_url, encode_data_url, extension_of, file_name, media_type_of
from .hints import hint_for
from .prediction import Prediction
from .schema import Schema
from .settings import Settings
from .tracing.untraced import CLIENT

FILE_KEY = "\0file"

log = logging.getLogger("layerwright")


class FileError(Exception):
    """A file that cannot be had or sent."""


class Files:
    """Moves files for predictions; blocking work runs in a few threads."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._threads = concurrent.futures.ThreadPoolExecutor(8, thread_name_prefix="files")

    async def fetch(self, prediction: Prediction, schema: Schema, known: Container[str] = ()) -> None:
        """Put every file input of a prediction on disk; ``sent_input`` then holds paths.

        :param known: URLs that the caller has the files of
        :raises FileError: with the name of the input
        """
        missing = {name: value for name, value in schema.file_defaults.items() if name not in prediction.input}
        values = copy.deepcopy({**prediction.input, **missing})
        places = [place for place in schema.files(values) if place[2] not in known]
        prediction.sent_input = values
        if not places:
            return
        span = prediction.span.child("prepare_input")
        try:
            await self._fetch_all(prediction, places)
        except FileError:
            span.end("FileError")
            raise
        span.end()

    async def _fetch_all(self, prediction: Prediction, places: list[Any]) -> None:
        try:
            prediction.folder = tempfile.mkdtemp(prefix="prediction-")
        except OSError as error:
            raise FileError(f"{places[0][1]}: cannot be stored: {_storage_reason(error)}") from None
        loop = asyncio.get_running_loop()
        jobs = []
        for number, (_, key, url) in enumerate(places):
            folder = os.path.join(prediction.folder, str(number))
            jobs.append(loop.run_in_executor(self._threads, self._fetch, url, folder, str(key)))
        for (container, key, _), result in zip(places, await asyncio.gather(*jobs, return_exceptions=True)):
            if isinstance(result, BaseException):
                shutil.rmtree(prediction.folder, ignore_errors=True)
                raise result if isinstance(result, FileError) else FileError(f"{key}: {result}")
            container[key] = result

    def _fetch(self, url: str, folder: str, name: str) -> str:
        os.mkdir(folder)
        try:
            if url[:5].lower() == "data:":
                return _save_data(url, folder, self.settings.input_limit)
            return self._download(url, folder)
        except FileError as error:
            raise FileError(f"{name}: {error}") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            if getattr(error, "errno", None) in _STORAGE:
                raise FileError(f"{name}: cannot be stored: {_storage_reason(error)}") from None
            if url[:5].lower() == "data:":
                raise FileError(f"{name}: {error}") from None
            reason = getattr(error, "reason", None) or error
            raise FileError(f"{name}: cannot fetch {mask_url(url)}: {reason}") from None

    def _download(self, url: str, folder: str) -> str:
        deadline = time.monotonic() + self.settings.input_timeout
        opener = make_opener(self.settings.allow_private_urls)
        agent = os.environ.get("COG_USER_AGENT") or "layerwright"
        request = urllib.request.Request(url, headers={"User-Agent": agent})  # noqa: S310 - scheme checked by the schema
        with opener.open(request, timeout=min(30.0, self.settings.input_timeout)) as response:
            name = file_name(urllib.parse.urlparse(url).path) or "file" + extension_of(response.headers.get_content_type())
            path = os.path.join(folder, name)
            size = 0
            with open(path, "wb") as target:
                while chunk := response.read(1 << 18):
                    size += len(chunk)
                    if size > self.settings.input_limit:
                        raise FileError(f"file is larger than {self.settings.input_limit} bytes")
                    if time.monotonic() > deadline:
                        raise FileError(f"download took longer than {self.settings.input_timeout:g} s")
                    target.write(chunk)
        return path

    async def send(self, value: Any, prediction: Prediction) -> Any:
        """Replace the files of an output by URLs.

        :raises FileError: when a file cannot be read or uploaded
        """
        if isinstance(value, dict):
            if len(value) == 1 and FILE_KEY in value:
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(self._threads, self._send, str(value[FILE_KEY]), prediction)
            return {key: await self.send(item, prediction) for key, item in value.items()}
        if isinstance(value, list):
            return [await self.send(item, prediction) for item in value]
        return value

    def _send(self, path: str, prediction: Prediction) -> str:
        try:
            if self.settings.upload_url is not None:
                return self._upload(path, media_type_of(path), prediction)
            return encode_data_url(path, is_named=self.settings.output_names)
        except (OSError, http.client.HTTPException) as error:
            raise FileError(f"Cannot send output file {os.path.basename(path)}: {error}") from None

    def _upload(self, path: str, kind: str, prediction: Prediction) -> str:
        size = os.path.getsize(path)
        span = prediction.span.child("upload_output", CLIENT, {"cog.output.mime_type": kind, "cog.output.bytes": size})
        try:
            location = self._put(path, size, {"Content-Type": kind, "X-Prediction-ID": prediction.id, **span.carrier})
        except (OSError, http.client.HTTPException) as error:
            span.end(type(error).__name__, type(error).__name__)
            raise
        span.end()
        return location

    def _put(self, path: str, size: int, headers: dict[str, str]) -> str:
        base = str(self.settings.upload_url)
        target = base + ("" if base.endswith("/") else "/") + urllib.parse.quote(os.path.basename(path))
        with open(path, "rb") as source:
            headers = {**headers, "Content-Length": str(size)}
            request = urllib.request.Request(target, source, headers, method="PUT")  # noqa: S310 - the operator's URL
            # The operator chose the upload address; it may well be inside the private network.
            with make_opener(True).open(request, timeout=25) as response:
                location = response.headers.get("Location") or response.url
        return str(location).partition("?")[0]


#: what the server's disk says, and no client can mend
_STORAGE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def _storage_reason(error: Exception) -> str:
    """For the client what happened; for the operator where, and what to try."""
    reason = str(getattr(error, "strerror", None) or error)
    log.error("Inputs cannot be stored below %s: %s\nhint: %s", tempfile.tempdir or os.environ.get("TMPDIR", "/tmp"), reason, hint_for(reason) or "Give the container a /tmp that it may write to.")
    return reason


def make_opener(allow_private: bool) -> urllib.request.OpenerDirector:
    """An opener that refuses to connect to private, local and reserved addresses, unless told otherwise.

    Proxies of the environment are used only when private addresses are allowed: behind a proxy the address that is
    connected to cannot be seen, so it cannot be checked.
    """
    if allow_private:
        return urllib.request.build_opener()
    return urllib.request.build_opener(urllib.request.ProxyHandler({}), _HTTPHandler(), _HTTPSHandler())


def connect_public(address: tuple[str, int], timeout: Any = None, source_address: Any = None) -> socket.socket:
    """``socket.create_connection`` to a public address only."""
    refused, failure = None, None
    for family, kind, protocol, _, where in socket.getaddrinfo(address[0], address[1], 0, socket.SOCK_STREAM):
        if not _is_public(str(where[0])):
            refused = where[0]
            continue
        sock = socket.socket(family, kind, protocol)
        try:
            if isinstance(timeout, (int, float)):
                sock.settimeout(timeout)
            sock.connect(where)
            return sock
        except OSError as error:
            sock.close()
            failure = error
    if failure is not None:
        raise failure
    raise FileError(f"{address[0]} leads to an address that is not public: {refused}")


def _is_public(text: str) -> bool:
    address = ipaddress.ip_address(text.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None) or getattr(address, "sixtofour", None)
    if mapped is not None:
        address = mapped
    # NAT64 (RFC 6052) carries an IPv4 address in its last four bytes.
    if address.version == 6 and address in ipaddress.ip_network("64:ff9b::/96"):
        address = ipaddress.ip_address(int(address) & 0xFFFFFFFF)
    return address.is_global and not address.is_multicast


class _HTTPConnection(http.client.HTTPConnection):
    def connect(self) -> None:
        self.sock = connect_public((self.host, self.port), self.timeout)


class _HTTPSConnection(http.client.HTTPSConnection):
    def connect(self) -> None:
        sock = connect_public((self.host, self.port), self.timeout)
        self.sock = ssl.create_default_context().wrap_socket(sock, server_hostname=self.host)


class _HTTPHandler(urllib.request.HTTPHandler):
    def http_open(self, request: Any) -> Any:
        return self.do_open(_HTTPConnection, request)  # type: ignore[arg-type]


class _HTTPSHandler(urllib.request.HTTPSHandler):
    def https_open(self, request: Any) -> Any:
        return self.do_open(_HTTPSConnection, request)  # type: ignore[arg-type]


def _save_data(url: str, folder: str, limit: int) -> str:
    kind, name, data = decode_data_url(url)
    if len(data) > limit:
        raise FileError(f"file is larger than {limit} bytes")
    path = os.path.join(folder, name or "file" + extension_of(kind))
    with open(path, "wb") as target:
        target.write(data)
    return path


def mask_url(url: str) -> str:
    """A URL for a message: without credentials, query and the bulk of data."""
    parsed = urllib.parse.urlparse(url[:2000])
    if parsed.scheme == "data":
        return "data:..."
    return f"{parsed.scheme}://{parsed.netloc.rpartition('@')[2]}{parsed.path}"
