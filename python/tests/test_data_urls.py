"""Files as data URLs: what a client, a browser or a model says about them reaches the other side."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest
from launcher.data_urls import decode_data_url, encode_data_url, extension_of, media_type_of
from support import FILE, document

NAMES = """
    from cog import BasePredictor, Path

    class Predictor(BasePredictor):
        def predict(self, file: Path) -> Path:
            return file
"""


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.tar.gz", "application/gzip"),
        ("a.csv.gz", "application/gzip"),
        ("a.tgz", "application/gzip"),
        ("a.tar.bz2", "application/x-bzip2"),
        ("a.tar.xz", "application/x-xz"),
        ("a.tar.zst", "application/zstd"),
        ("a.tar", "application/x-tar"),
        ("a.WAV", "audio/wav"),
        ("a.png", "image/png"),
        ("a.webp", "image/webp"),
        ("a.parquet", "application/vnd.apache.parquet"),
        ("a.safetensors", "application/octet-stream"),
        ("LICENSE", "application/octet-stream"),
    ],
)
def test_media_type_of_a_name(name: str, kind: str) -> None:
    assert media_type_of(f"/tmp/x.d/{name}") == kind


@pytest.mark.parametrize(
    ("kind", "extension"),
    [
        ("audio/wav", ".wav"),
        ("audio/x-wav", ".wav"),
        ("audio/mp3", ".mp3"),
        ("audio/ogg", ".ogg"),
        ("audio/webm", ".weba"),
        ("image/jpeg", ".jpg"),
        ("image/webp", ".webp"),
        ("application/gzip", ".gz"),
        ("application/x-none", ""),
    ],
)
def test_extension_of_a_media_type(kind: str, extension: str) -> None:
    assert extension_of(kind) == extension


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("data:,a%20b", ("text/plain", "", b"a b")),
        ("data:image/PNG;base64,QUI", ("image/png", "", b"AB")),
        ("data:text/plain;charset=utf-8;name=na%C3%AFve%20%E2%98%83.txt;base64,QUI=", ("text/plain", "na\u00efve \u2603.txt", b"AB")),
        ("data:application/gzip;NAME=a.tar.gz;base64,", ("application/gzip", "a.tar.gz", b"")),
        ("data:text/plain;name=..%2F..%2Fetc%2Fpasswd,x", ("text/plain", ".._.._etc_passwd", b"x")),
        ("data:text/plain;name=..,x", ("text/plain", "", b"x")),
        ("data:text/plain;name=base64,QUI=", ("text/plain", "base64", b"QUI=")),
    ],
)
def test_decode_data_url(url: str, parts: tuple[str, str, bytes]) -> None:
    assert decode_data_url(url) == parts


@pytest.mark.parametrize("url", ["data:text/plain", "data:text/plain;base64,a", "data:;base64,*"])
def test_decode_data_url_refuses_others(url: str) -> None:
    with pytest.raises(ValueError, match="is not"):
        decode_data_url(url)


def test_encode_data_url_comes_back(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a,b;c \u2603.tar.gz"
    path.write_bytes(b"AB")
    assert encode_data_url(str(path)) == "data:application/gzip;base64,QUI="
    assert decode_data_url(encode_data_url(str(path), is_named=True)) == ("application/gzip", path.name, b"AB")


def test_a_file_keeps_its_name_both_ways(make_project: Any, start: Any) -> None:
    server = start(make_project(NAMES, document({"file": FILE}, FILE)), LAYERWRIGHT_OUTPUT_NAMES="1").wait()
    answer = server.predict(file="data:application/gzip;name=w%20x.tar.gz;base64,QUI=").json()
    assert answer["output"] == "data:application/gzip;name=w%20x.tar.gz;base64,QUI="
    assert server.predict(file="data:;base64,*").json()["error"] == "Input validation error: file: is not valid base64"


def test_names_of_outputs_are_not_sent_unasked(make_project: Any, start: Any) -> None:
    server = start(make_project(NAMES, document({"file": FILE}, FILE))).wait()
    assert server.predict(file="data:audio/wav;base64,QUI=").json()["output"] == "data:audio/wav;base64,QUI="
