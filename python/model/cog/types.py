"""Types of inputs and outputs."""

from __future__ import annotations

import io
import os
import pathlib
from dataclasses import dataclass
from typing import Any, AsyncIterator, Iterator, TypeVar

_PlainPath = type(pathlib.Path())


def _url_name(url: str) -> str:
    from urllib.parse import unquote, urlparse

    return unquote(os.path.basename(urlparse(url).path))


@dataclass(frozen=True)
class Secret:
    """A string that does not show itself in ``str()`` and ``repr()``."""

    secret_value: str | None = None

    def get_secret_value(self) -> str | None:
        """The string itself."""
        return self.secret_value

    def __str__(self) -> str:
        return "" if self.secret_value is None else "**********"

    def __repr__(self) -> str:
        return f"Secret({self})"


class File(io.IOBase):
    """A readable file; ``Path`` is the better annotation."""

    @classmethod
    def validate(cls, value: Any) -> Any:
        """Open a data or http(s) URL; a file that is open already is given back."""
        if isinstance(value, io.IOBase):
            return value
        scheme = str(value).partition(":")[0].lower()
        if scheme == "data":
            import urllib.request  # here and below: http, ssl and email are 8 MB that few models need

            with urllib.request.urlopen(value) as response:  # noqa: S310 - the scheme is data
                return io.BytesIO(response.read())
        if scheme in ("http", "https"):
            return URLFile(value)
        raise ValueError(f"'{scheme}' is not a valid URL scheme. 'data', 'http', or 'https' is supported.")


class URLFile(io.IOBase):
    """A file behind an http(s) URL, requested at the first use; it can be pickled before."""

    def __init__(self, url: str, filename: str | None = None) -> None:
        if not url.lower().startswith(("http://", "https://")):
            raise ValueError("URLFile requires URL to conform to HTTP or HTTPS protocol")
        self._url = url
        self._response: Any = None
        self.name = filename or _url_name(url)

    def __getstate__(self) -> dict[str, Any]:
        return {"url": self._url, "name": self.name}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._url, self.name, self._response = state["url"], state["name"], None

    @property
    def _opened(self) -> Any:
        if self._response is None:
            import urllib.request

            agent = os.environ.get("COG_USER_AGENT")
            request = urllib.request.Request(self._url, headers={"User-Agent": agent} if agent else {})
            self._response = urllib.request.urlopen(request, timeout=10)  # noqa: S310 - http(s) checked above
        return self._response

    def read(self, size: int = -1) -> bytes:
        """Read from the response."""
        return bytes(self._opened.read(None if size is None or size < 0 else size))

    def readable(self) -> bool:
        """True: it is a source."""
        return True

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._opened)

    def close(self) -> None:
        """Close the response, if there is one."""
        if getattr(self, "_response", None) is not None:
            self._response.close()
        super().close()


class Path(_PlainPath):  # type: ignore[valid-type, misc]
    """A file: as input, already on disk when ``run()`` starts; as output, sent to the client.

    It is a ``pathlib.Path`` in every respect.
    """

    @classmethod
    def validate(cls, value: Any) -> pathlib.Path:
        """Make a path of a string; a data or http(s) URL becomes a path that is fetched by ``convert()``."""
        if isinstance(value, pathlib.Path):
            return value
        scheme = value.partition(":")[0].lower()
        if scheme in ("data", "http", "https"):
            name = "file" if scheme == "data" else _url_name(value) or "file"
            return URLPath(source=value, filename=name, fileobj=File.validate(value))
        return cls(value)


class URLPath(_PlainPath):  # type: ignore[valid-type, misc]
    """A path whose content is still behind a URL."""

    def __new__(cls, *, source: str, filename: str, fileobj: Any) -> "URLPath":
        return super().__new__(cls, filename.replace("/", "_").replace("\0", "_")[-200:])

    def __init__(self, *, source: str, filename: str, fileobj: Any) -> None:
        if hasattr(pathlib.PurePath, "with_segments"):  # CPython 3.12 moved the parsing into __init__
            super().__init__(filename.replace("/", "_").replace("\0", "_")[-200:])
        self.source, self.filename, self.fileobj = source, filename, fileobj
        self._path: Path | None = None

    def convert(self) -> Path:
        """Fetch the content into a temporary file, once."""
        if self._path is None:
            import shutil
            import tempfile

            with tempfile.NamedTemporaryFile(suffix=self.name, delete=False) as target:
                shutil.copyfileobj(self.fileobj, target)
            self._path = Path(target.name)
        return self._path

    def unlink(self, missing_ok: bool = False) -> None:
        """Remove the temporary file, if it was made."""
        if self._path is not None:
            self._path.unlink(missing_ok=missing_ok)

    def __str__(self) -> str:
        return getattr(self, "source", None) or super().__str__()


Item = TypeVar("Item")


class ConcatenateIterator(Iterator[Item]):
    """An output whose pieces are shown joined: tokens of a text."""


class AsyncConcatenateIterator(AsyncIterator[Item]):
    """The asynchronous form of :class:`ConcatenateIterator`."""
