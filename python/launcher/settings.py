"""Everything the environment and the command line decide, read once."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from typing import Mapping, Sequence

#: Where a project's OpenAPI document may lie, relative to the project first, as Cog has it.
SCHEMA_PATHS = (".cog/openapi_schema.json", "/opt/layerwright/app/openapi.json")
#: where the build puts the list of models and pipelines, if there are several
MODELS_PATHS = (".cog/models.json", "/opt/layerwright/app/models.json")


class SettingsError(Exception):
    """A variable or flag that cannot be used; the text names it."""


@dataclass(frozen=True)
class Settings:
    """The launcher's configuration. Times are in seconds, sizes in bytes."""

    predict: str | None = None
    train: str | None = None
    #: ``predict`` is the training function, and there is no other model
    is_training: bool = False
    project: str = "."
    python: str = sys.executable
    schema_path: str | None = None
    #: of ``models.json``; None: there is one model, which ``predict`` names
    models_path: str | None = None
    host: str = "0.0.0.0"
    ports: tuple[int, ...] = (5000,)
    #: ports that are listened on when they are free, and not missed otherwise
    extra_ports: tuple[int, ...] = ()
    #: predictions at a time; None: what the handler's decorator says
    concurrency: int | None = None
    queue_length: int = 128
    setup_timeout: float | None = None
    predict_timeout: float | None = None
    grace: float = 25.0
    cancel_grace: float = 10.0
    throttle: float = 0.5
    upload_url: str | None = None
    #: data URLs of output files have a ``;name=`` parameter
    output_names: bool = False
    webhook_token: str | None = None
    webhook_secret: str | None = None
    allow_private_urls: bool = False
    allow_private_webhooks: bool = True
    input_limit: int = 1 << 30
    input_timeout: float = 60.0
    body_limit: int = 100 << 20
    history: int = 1000
    history_seconds: float = 3600.0
    stream_history: int = 1024
    batch_size: int = 1
    batch_wait: float = 0.01
    ignore_sigterm: bool = False
    json_logs: bool = True
    access_log: bool = False
    model_name: str = "model"
    #: said by every answer, so that a client learns which of several answered
    model_version: str | None = None
    queues: tuple[str, ...] = ()
    redis_urls: tuple[str, ...] = ()
    consumer: str | None = None
    serve_http: bool = True
    max_deliveries: int = 3
    heartbeat: float = 1.0
    idle_limit: float = 3.0
    #: a name that holds nothing leaves the group after so long
    consumer_idle: float = 3600.0
    state_seconds: float = 86400.0
    #: of a job's state; Redis itself takes no text above 512 MiB
    result_limit: int = 1 << 28
    platform: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def load(cls, arguments: Sequence[str] = (), env: Mapping[str, str] | None = None) -> "Settings":
        """Read flags and environment; flags win.

        :raises SettingsError: with the name of the variable or flag that is wrong
        """
        return _load(list(arguments), os.environ if env is None else env)


class _Env:
    def __init__(self, env: Mapping[str, str]) -> None:
        self.env = env

    def text(self, *names: str) -> str | None:
        for name in names:
            if self.env.get(name):
                return self.env[name]
        return None

    def number(self, name: str, default: float | None) -> float | None:
        value = self.env.get(name)
        if not value:
            return default
        try:
            number = float(value)
        except ValueError:
            raise SettingsError(f"{name} must be a number: {value}") from None
        if number < 0:
            raise SettingsError(f"{name} must not be negative: {value}")
        return number

    def flag(self, name: str, default: bool) -> bool:
        value = (self.env.get(name) or "").lower()
        if value in ("1", "true", "yes", "on"):
            return True
        if value in ("0", "false", "no", "off"):
            return False
        if value:
            raise SettingsError(f"{name} must be true or false: {value}")
        return default


def _load(arguments: list[str], environment: Mapping[str, str]) -> Settings:
    env = _Env(environment)
    flags = _flags(arguments)
    project = env.text("LAYERWRIGHT_PROJECT") or os.getcwd()
    ports, extra = _ports(env, flags)
    redis_urls = tuple(flags.get("queue", [])) or tuple((env.text("LAYERWRIGHT_QUEUE", "REDIS_URL") or "").split())
    queues = tuple(flags.get("queue-name", [])) or tuple(
        (env.text("LAYERWRIGHT_QUEUE_NAME") or "").replace(",", " ").split()
    )
    concurrency = env.number("COG_MAX_CONCURRENCY", None)
    is_train = (flags.get("x-mode") or [""])[-1] == "train"
    predict = env.text("COG_PREDICT_TYPE_STUB", "LAYERWRIGHT_PREDICT")
    train = env.text("COG_TRAIN_TYPE_STUB", "LAYERWRIGHT_TRAIN")
    number, flag = env.number, env.flag
    return Settings(
        predict=train if is_train else predict,
        train=train,
        is_training=is_train,
        project=project,
        python=_interpreter(env),
        schema_path=_path(env, "LAYERWRIGHT_SCHEMA", project, SCHEMA_PATHS),
        models_path=None if is_train else _path(env, "LAYERWRIGHT_MODELS", project, MODELS_PATHS),
        host=(flags.get("host") or [env.text("LAYERWRIGHT_HOST") or "0.0.0.0"])[-1],
        ports=ports,
        extra_ports=extra,
        concurrency=int(concurrency) if concurrency else None,
        queue_length=int(number("LAYERWRIGHT_MAX_QUEUE", 128) or 0),
        setup_timeout=number("COG_SETUP_TIMEOUT", None) or None,
        predict_timeout=number("LAYERWRIGHT_PREDICT_TIMEOUT", None) or None,
        grace=number("LAYERWRIGHT_GRACE_SECONDS", 25.0) or 0.0,
        cancel_grace=number("LAYERWRIGHT_CANCEL_GRACE_SECONDS", 10.0) or 0.0,
        throttle=number("COG_THROTTLE_RESPONSE_INTERVAL", 0.5) or 0.0,
        upload_url=(flags.get("upload-url") or [env.text("LAYERWRIGHT_UPLOAD_URL")])[-1],
        output_names=flag("LAYERWRIGHT_OUTPUT_NAMES", False),
        webhook_token=env.text("WEBHOOK_AUTH_TOKEN"),
        webhook_secret=env.text("LAYERWRIGHT_WEBHOOK_SECRET"),
        allow_private_urls=flag("LAYERWRIGHT_ALLOW_PRIVATE_URLS", False),
        allow_private_webhooks=flag("LAYERWRIGHT_ALLOW_PRIVATE_WEBHOOKS", True),
        input_limit=int(number("LAYERWRIGHT_INPUT_MAX_BYTES", 1 << 30) or 0),
        input_timeout=number("LAYERWRIGHT_INPUT_TIMEOUT", 60.0) or 60.0,
        body_limit=int(number("LAYERWRIGHT_BODY_MAX_BYTES", 100 << 20) or 0),
        history=int(number("LAYERWRIGHT_HISTORY", 1000) or 0),
        history_seconds=number("LAYERWRIGHT_HISTORY_SECONDS", 3600.0) or 0.0,
        stream_history=int(number("COG_STREAM_HISTORY_CAPACITY", 1024) or 1),
        batch_size=int(number("LAYERWRIGHT_BATCH_SIZE", 1) or 1),
        batch_wait=(number("LAYERWRIGHT_BATCH_WAIT_MS", 10.0) or 0.0) / 1000,
        ignore_sigterm="await-explicit-shutdown" in flags,
        json_logs=(env.text("LOG_FORMAT") or "json") != "console",
        access_log=flag("LAYERWRIGHT_ACCESS_LOG", False),
        model_name=env.text("LAYERWRIGHT_MODEL_NAME", "MODEL_NAME") or "model",
        model_version=_version(env),
        queues=queues or (("predictions",) if redis_urls else ()),
        redis_urls=redis_urls,
        consumer=(flags.get("consumer") or [env.text("LAYERWRIGHT_CONSUMER")])[-1],
        serve_http="no-http" not in flags and flag("LAYERWRIGHT_HTTP", True),
        max_deliveries=int(number("LAYERWRIGHT_MAX_DELIVERIES", 3) or 1),
        heartbeat=number("LAYERWRIGHT_HEARTBEAT_SECONDS", 1.0) or 1.0,
        idle_limit=number("LAYERWRIGHT_IDLE_SECONDS", 3.0) or 3.0,
        consumer_idle=number("LAYERWRIGHT_CONSUMER_IDLE_SECONDS", 3600.0) or 3600.0,
        state_seconds=number("LAYERWRIGHT_STATE_SECONDS", 86400.0) or 86400.0,
        result_limit=int(number("LAYERWRIGHT_QUEUE_RESULT_MAX_BYTES", 1 << 28) or 1 << 28),
        platform={name: value for name, value in environment.items() if name.startswith(("AIP_", "SAGEMAKER_"))},
    )


_VALUED = {"host", "upload-url", "x-mode", "queue", "queue-name", "consumer", "port", "threads"}
_BARE = {"await-explicit-shutdown", "no-http", "serve"}


def _flags(arguments: list[str]) -> dict[str, list[str]]:
    """Flags of our own and those of Cog's server, each with its values."""
    found: dict[str, list[str]] = {}
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        if argument == "serve":
            found["serve"] = []
            continue
        name, has_value, value = argument.removeprefix("--").partition("=")
        if not argument.startswith("--") or name not in _VALUED | _BARE:
            raise SettingsError(f"Unknown argument: {argument}")
        if name in _VALUED and not has_value:
            if not rest:
                raise SettingsError(f"--{name} needs a value")
            value = rest.pop(0)
        elif name == "await-explicit-shutdown" and not has_value and rest and not rest[0].startswith("--"):
            rest.pop(0)  # Cog's form is `--await-explicit-shutdown true`
        found.setdefault(name, []).append(value)
    return found


def _ports(env: _Env, flags: dict[str, list[str]]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The port of the platform, else 5000, and 8080 beside it where platforms that set nothing look."""
    for name in ("SAGEMAKER_BIND_TO_PORT", "AIP_HTTP_PORT", "PORT"):
        value = (flags.get("port") or [None])[-1] or env.text(name)
        if value:
            if not value.isdigit() or int(value) > 65535:
                raise SettingsError(f"{name} must be a port number: {value}")
            return (int(value),), ()
    return ((8080,), (5000,)) if "serve" in flags else ((5000,), (8080,))


def _version(env: _Env) -> str | None:
    """A digest, a tag, or whatever else goes into a header."""
    version = env.text("LAYERWRIGHT_MODEL_VERSION")
    if version is not None and not (version.isascii() and version.isprintable() and len(version) <= 256):
        raise SettingsError("LAYERWRIGHT_MODEL_VERSION must be up to 256 printable characters of ASCII")
    return version


def _interpreter(env: _Env) -> str:
    named = env.text("LAYERWRIGHT_PYTHON")
    if named:
        return named
    return "/opt/venv/bin/python" if os.path.exists("/opt/venv/bin/python") else sys.executable


def _path(env: _Env, variable: str, project: str, places: Sequence[str]) -> str | None:
    """A file that a variable names, else the first of the usual ones that is there."""
    named = env.text(variable)
    if named:
        return named
    candidates = [os.path.join(project, path) for path in places]
    return next((path for path in candidates if os.path.exists(path)), None)
