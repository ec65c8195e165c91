"""Files as data URLs (RFC 2397): their media types, names and bytes."""

from __future__ import annotations

import base64
import binascii
import mimetypes
import os
import re
import urllib.parse
from typing import NamedTuple

#: what `mimetypes` does not know, or spells as nobody else does any more, on some Python or without `/etc/mime.types`
_TYPES = {
    ".aac": "audio/aac",
    ".avif": "image/avif",
    ".flac": "audio/flac",
    ".glb": "model/gltf-binary",
    ".heic": "image/heic",
    ".m4a": "audio/mp4",
    ".md": "text/markdown",
    ".ogg": "audio/ogg",
    ".parquet": "application/vnd.apache.parquet",
    ".wav": "audio/wav",
    ".weba": "audio/webm",
    ".webp": "image/webp",
    ".zst": "application/zstd",
}
#: of compressed files, whatever is inside: the bytes are what the type must say
_ENCODINGS = {
    "br": "application/x-brotli",
    "bzip2": "application/x-bzip2",
    "compress": "application/x-compress",
    "gzip": "application/gzip",
    "xz": "application/x-xz",
}
_EXTENSIONS = {
    **{kind: extension for extension, kind in _TYPES.items()},
    **{"application/x-gzip": ".gz", "audio/mp3": ".mp3", "audio/x-wav": ".wav", "audio/wave": ".wav"},
    **{"image/jpeg": ".jpg", "image/jpg": ".jpg", "text/plain": ".txt"},
}
_DATA = re.compile(r"data:([^,;]*)((?:;[^,;]*)*),", re.I)


class DataUrl(NamedTuple):
    """The parts of a data URL; the name is that of a ``;name=`` parameter, safe to be used in a folder, or empty."""

    kind: str
    name: str
    body: bytes


def decode_data_url(url: str) -> DataUrl:
    """Take a data URL apart.

    :raises ValueError: when it is not one
    """
    match = _DATA.match(url)
    if match is None:
        raise ValueError("is not a data URL")
    parameters = match[2].split(";")[1:]
    body = urllib.parse.unquote_to_bytes(url[match.end() :])
    if any(one.lower() == "base64" for one in parameters):
        try:
            body = base64.b64decode(re.sub(rb"\s", b"", body) + b"=" * (-len(body) % 4), validate=True)
        except binascii.Error:
            raise ValueError("is not valid base64") from None
    name = next((one[5:] for one in parameters if one[:5].lower() == "name="), "")
    return DataUrl(match[1].lower() or "text/plain", file_name(name), body)


def encode_data_url(path: str, *, is_named: bool = False) -> str:
    """A file as a data URL.

    :param is_named: with its name as a parameter; clients that take the type for all before ``;base64`` want none
    :raises OSError: when it cannot be read
    """
    name = f";name={urllib.parse.quote(os.path.basename(path), safe='')}" if is_named else ""
    with open(path, "rb") as source:
        return f"data:{media_type_of(path)}{name};base64," + base64.b64encode(source.read()).decode()


def media_type_of(path: str) -> str:
    """The media type of a file by its name."""
    known = _TYPES.get(os.path.splitext(path)[1].lower())
    kind, encoding = mimetypes.guess_type(path)
    return known or (_ENCODINGS.get(encoding) if encoding else kind) or "application/octet-stream"


def extension_of(kind: str) -> str:
    """The usual extension of a media type, with its dot; empty when there is none."""
    return _EXTENSIONS.get(kind) or mimetypes.guess_extension(kind) or ""


def file_name(path: str) -> str:
    """The last part of a URL's path, as a name that is safe in a folder; empty when there is none."""
    name = urllib.parse.unquote(os.path.basename(path)).replace("/", "_").replace("\0", "_").strip()
    if name in ("", ".", ".."):
        return ""
    stem, extension = os.path.splitext(name)
    while len((stem + extension).encode()) > 200:
        stem, extension = stem[: len(stem) * 3 // 4], extension[:20]
    return stem + extension
