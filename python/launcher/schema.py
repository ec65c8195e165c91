"""Request validation by Pydantic, built from the OpenAPI document that the build wrote.

The launcher imports no user code. The document's ``Input`` becomes a pydantic-core schema, so parsing and checking a
request is one pass in Rust and every error of a body is reported at once. pydantic-core is Pydantic's validator
without its class layer, which would cost 13 MB and 0.2 s of start for classes nobody sees.
"""

from __future__ import annotations

import json
import re
from typing import Any, Callable, Iterator

from pydantic_core import CoreSchema, PydanticCustomError, SchemaValidator, ValidationError, core_schema

EVENTS = ("start", "output", "logs", "completed")


class InvalidRequest(Exception):
    """A body that does not fit; ``errors`` is the ``detail`` list of the answer."""

    def __init__(self, errors: list[dict[str, Any]], is_syntax: bool = False) -> None:
        super().__init__("; ".join(f"{'.'.join(map(str, error['loc'][1:]))}: {error['msg']}" for error in errors))
        self.errors = errors
        #: the body is no JSON at all
        self.is_syntax = is_syntax


class Schema:
    """One OpenAPI document: the validator of requests, where files are, what streams.

    :param kind: ``Input`` or ``TrainingInput``
    :param is_batch: the handler takes lists; a request carries one item of each
    """

    def __init__(self, document: dict[str, Any] | None, kind: str = "Input", is_batch: bool = False) -> None:
        self.document = document
        self.components: dict[str, Any] = (document or {}).get("components", {}).get("schemas", {})
        self.input: dict[str, Any] = self.components.get(kind, {})
        self.output: dict[str, Any] = self.components.get(kind.replace("Input", "Output"), {})
        if is_batch:
            self.input = {**self.input, "properties": _items(self, self.input.get("properties", {}))}
            self.output = self.resolve(self.output).get("items", {})
        self.properties: dict[str, Any] = self.input.get("properties", {})
        self.file_fields = {name: node for name, node in self.properties.items() if self._has_file(node)}
        self.file_defaults = {
            name: node["default"] for name, node in self.file_fields.items() if _is_remote(node.get("default"))
        }
        resolved = {name: self.resolve(node) for name, node in self.properties.items()}
        self.secret_fields = frozenset(
            name for name, node in resolved.items() if node.get("x-cog-secret") or node.get("format") == "password"
        )
        path = "/trainings" if kind == "TrainingInput" else "/predictions"
        operation = (document or {}).get("paths", {}).get(path, {}).get("post", {})
        self.is_streaming = bool(operation.get("x-cog-streaming"))
        self.is_concatenated = self.resolve(self.output).get("x-cog-array-display") == "concatenate"
        self.is_iterator = self.resolve(self.output).get("x-cog-array-type") == "iterator"
        self._input = SchemaValidator(self._input_schema())
        self._request = SchemaValidator(self._envelope())

    def parse(self, body: bytes) -> dict[str, Any]:
        """Parse and check a request body.

        :raises InvalidRequest: with all errors
        """
        try:
            return self._filled(self._request.validate_json(body))
        except ValidationError as error:
            raise _invalid(error, ("body",)) from None

    def check(self, request: Any) -> dict[str, Any]:
        """Check a request that is parsed already.

        :raises InvalidRequest: with all errors
        """
        try:
            return self._filled(self._request.validate_python(request))
        except ValidationError as error:
            raise _invalid(error, ("body",)) from None

    def _filled(self, request: dict[str, Any]) -> dict[str, Any]:
        """A request whose input is null has none, which may be one too few."""
        if request["input"] is None:
            try:
                request["input"] = self._input.validate_python({})
            except ValidationError as error:
                raise _invalid(error, ("body", "input")) from None
        return request

    def resolve(self, node: dict[str, Any]) -> dict[str, Any]:
        """Follow ``$ref`` and the one-armed ``allOf`` Cog writes around it; the outer keys win."""
        for _ in range(32):
            reference = node.get("$ref")
            if reference is None and len(node.get("allOf", ())) == 1:
                reference, outer = None, {key: value for key, value in node.items() if key != "allOf"}
                node = {**self.resolve(node["allOf"][0]), **outer}
            if reference is None:
                return node
            outer = {key: value for key, value in node.items() if key != "$ref"}
            node = {**self.components.get(str(reference).rsplit("/", 1)[-1], {}), **outer}
        return node

    def files(self, values: dict[str, Any]) -> Iterator[tuple[Any, Any, str]]:
        """Every file of an input as (container, key, URL), so that the caller can put a path in its place."""
        for name, node in self.file_fields.items():
            if values.get(name) is not None:
                yield from self._files(values, name, node)

    def _files(self, container: Any, key: Any, node: dict[str, Any]) -> Iterator[tuple[Any, Any, str]]:
        node, value = self.resolve(node), container[key]
        if isinstance(value, str) and self._is_file(node):
            yield container, key, value
        elif isinstance(value, list) and "items" in node:
            for index in range(len(value)):
                yield from self._files(value, index, node["items"])
        elif isinstance(value, dict):
            for name, child in node.get("properties", {}).items():
                if value.get(name) is not None:
                    yield from self._files(value, name, child)
        else:
            for branch in node.get("anyOf", ()):
                yield from self._files(container, key, branch)

    def _is_file(self, node: dict[str, Any]) -> bool:
        return node.get("type") == "string" and node.get("format") == "uri"

    def _has_file(self, node: dict[str, Any], depth: int = 0) -> bool:
        node = self.resolve(node)
        if self._is_file(node):
            return True
        children = [*node.get("anyOf", ()), *node.get("properties", {}).values()]
        children += [node["items"]] if isinstance(node.get("items"), dict) else []
        return depth < 8 and any(self._has_file(child, depth + 1) for child in children)

    def _input_schema(self) -> CoreSchema:
        if not self.properties:
            return core_schema.dict_schema(core_schema.str_schema(), core_schema.any_schema())
        return self._object(self.input)

    def _envelope(self) -> CoreSchema:
        optional, text = core_schema.nullable_schema, core_schema.str_schema(strict=True)
        identifier = core_schema.str_schema(strict=True, min_length=1, max_length=512)
        event = core_schema.literal_schema(list(EVENTS))
        url = core_schema.no_info_after_validator_function(_webhook_url, text)
        fields = {
            "id": optional(identifier),
            "input": core_schema.with_default_schema(
                optional(self._input_schema()), default_factory=dict, validate_default=True
            ),
            "context": optional(core_schema.dict_schema(text, text)),
            "webhook": optional(url),
            "webhook_events_filter": optional(core_schema.list_schema(event, strict=True)),
        }
        return core_schema.typed_dict_schema(
            {name: core_schema.typed_dict_field(node, required=False) for name, node in fields.items()},
            extra_behavior="ignore",
            config=core_schema.CoreConfig(regex_engine="python-re"),
        )

    def _object(self, node: dict[str, Any]) -> CoreSchema:
        required = set(node.get("required", ()))
        extra = node.get("additionalProperties")
        return core_schema.typed_dict_schema(
            {
                name: core_schema.typed_dict_field(self.core(child), required=name in required)
                for name, child in node["properties"].items()
            },
            extra_behavior="forbid" if extra is False else "ignore",
        )

    def core(self, node: dict[str, Any]) -> CoreSchema:
        """The pydantic-core schema of a JSON Schema node."""
        node = self.resolve(node)
        schema = self._core(node)
        # Cog writes `"default": null` with nullable; a bare null default means the same.
        if node.get("nullable") or ("default" in node and node["default"] is None):
            return core_schema.nullable_schema(schema)
        return schema

    def _core(self, node: dict[str, Any]) -> CoreSchema:
        if "enum" in node:
            return core_schema.literal_schema(node["enum"])
        if "const" in node:
            return core_schema.literal_schema([node["const"]])
        branches = node.get("anyOf") or node.get("oneOf")
        if branches:
            return self._union([self.core(branch) for branch in branches], branches)
        kind = node.get("type")
        if isinstance(kind, list):
            return self._union([self._core({**node, "type": one}) for one in kind], [{"type": one} for one in kind])
        make: Callable[[dict[str, Any]], CoreSchema] | None = {
            "string": self._string,
            "integer": self._integer,
            "number": self._number,
            "boolean": lambda _: core_schema.bool_schema(strict=True),
            "array": self._array,
            "object": self._mapping,
            "null": lambda _: core_schema.none_schema(),
        }.get(str(kind))
        return make(node) if make is not None else core_schema.any_schema()

    def _union(self, schemas: list[CoreSchema], branches: list[dict[str, Any]]) -> CoreSchema:
        names = [str(self.resolve(branch).get("type", "value")) for branch in branches]
        return core_schema.union_schema(
            list(schemas),
            custom_error_type="union",
            custom_error_message=f"Input should be {' or '.join(dict.fromkeys(names))}",
        )

    def _string(self, node: dict[str, Any]) -> CoreSchema:
        schema: CoreSchema = core_schema.str_schema(
            strict=True, min_length=node.get("minLength"), max_length=node.get("maxLength")
        )
        if self._is_file(node):
            return core_schema.no_info_after_validator_function(_file_url, schema)
        if "pattern" in node:
            search = re.compile(node["pattern"]).search
            message = f"String should match pattern '{node['pattern']}'".replace("{", "{{").replace("}", "}}")

            def matches(value: str) -> str:
                if search(value) is None:
                    raise PydanticCustomError("string_pattern_mismatch", message)  # type: ignore[arg-type]
                return value

            return core_schema.no_info_after_validator_function(matches, schema)
        return schema

    def _integer(self, node: dict[str, Any]) -> CoreSchema:
        schema = core_schema.int_schema(strict=True, **_limits(node))
        return core_schema.no_info_before_validator_function(_whole, schema)

    def _number(self, node: dict[str, Any]) -> CoreSchema:
        return core_schema.float_schema(strict=True, allow_inf_nan=False, **_limits(node))

    def _array(self, node: dict[str, Any]) -> CoreSchema:
        items = self.core(node["items"]) if isinstance(node.get("items"), dict) else core_schema.any_schema()
        return core_schema.list_schema(
            items, strict=True, min_length=node.get("minItems"), max_length=node.get("maxItems")
        )

    def _mapping(self, node: dict[str, Any]) -> CoreSchema:
        if node.get("properties"):
            return self._object(node)
        extra = node.get("additionalProperties")
        values = self.core(extra) if isinstance(extra, dict) and extra else core_schema.any_schema()
        return core_schema.dict_schema(core_schema.str_schema(), values, strict=True)


def load(path: str | None) -> dict[str, Any] | None:
    """Read an OpenAPI document; None without a path."""
    if path is None:
        return None
    with open(path, encoding="utf-8") as source:
        document = json.load(source)
    if not isinstance(document, dict):
        raise ValueError(f"The OpenAPI document is not an object: {path}")
    return document


def _items(schema: Schema, properties: dict[str, Any]) -> dict[str, Any]:
    return {
        name: {**schema.resolve(node).get("items", {}), **{k: node[k] for k in ("x-order", "description") if k in node}}
        for name, node in properties.items()
    }


def _limits(node: dict[str, Any]) -> dict[str, Any]:
    names = {"minimum": "ge", "maximum": "le", "exclusiveMinimum": "gt", "exclusiveMaximum": "lt", "multipleOf": "multiple_of"}
    limits = {ours: node[theirs] for theirs, ours in names.items() if theirs in node}
    for theirs, ours, inclusive in (("exclusiveMinimum", "gt", "ge"), ("exclusiveMaximum", "lt", "le")):
        if isinstance(node.get(theirs), bool):  # OpenAPI 3.0 spells exclusive limits as flags
            del limits[ours]
            if node[theirs] and inclusive in limits:
                limits[ours] = limits.pop(inclusive)
    return limits


def _whole(value: Any) -> Any:
    """JSON knows one kind of number: 2.0 is an integer, and Python code should get it as one."""
    return int(value) if type(value) is float and value.is_integer() else value


def _is_remote(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and all(_is_remote(item) for item in value)
    return isinstance(value, str) and value.partition(":")[0].lower() in ("data", "http", "https")


def _file_url(value: str) -> str:
    if not _is_remote(value):
        raise PydanticCustomError("file_url", "A file is given as a data: or http(s): URL")
    return value


#: a host and no white space; what is wrong beyond that the first post tells
_HTTP_URL = re.compile(r"https?://[^\s/?#\x00-\x1f\x7f]+[^\s\x00-\x1f\x7f]*\Z", re.I)


def _webhook_url(value: str) -> str:
    if _HTTP_URL.match(value) is None:
        raise PydanticCustomError("webhook_url", "A webhook is an http(s) URL")
    return value


def _invalid(error: ValidationError, prefix: tuple[str, ...]) -> InvalidRequest:
    details, is_syntax = [], False
    for one in error.errors(include_url=False, include_context=False, include_input=False):
        kind = one["type"]
        is_syntax = is_syntax or kind == "json_invalid"
        details.append({"loc": [*prefix, *one["loc"]], "msg": one["msg"], "type": f"value_error.{kind}"})
    return InvalidRequest(details, is_syntax)
