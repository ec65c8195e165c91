"""The Open Inference Protocol as an OpenAPI document of the model at hand (``GET /v2/openapi.json``).

The protocol's published document knows no model: a request may fit it and name a tensor that is not there. Here the
paths are the model's, and the tensors have its names, datatypes, shapes and limits, so that whatever fits the document is
accepted and everything else gets 400. Three things a JSON schema cannot say, and the descriptions do: a list longer than
``LENGTHS`` is accepted when its shape fits, a file may be a URL (whether it can be fetched is seen then), and of what
travels as JSON text only that it is a text.

OpenAPI 3.1, because "each input once" takes ``minContains``.
"""

from __future__ import annotations

import urllib.parse
from typing import Any

from ..schema import Schema
from .tensors import ACCEPTED, describe_tensor

#: numbers of elements that the document spells out for a list
LENGTHS = range(9)
_TEXT = {"type": "string"}
_FLAG = {"type": "boolean"}
_SIZES = {"type": "array", "items": {"type": "integer"}}
#: of a JSON Schema node, what limits a value
_LIMITS = (
    "type", "enum", "const", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf",
    "minLength", "maxLength", "pattern", "required",
)  # fmt: skip
_BASE64 = "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"
_NO_URL = "^(?![dD][aA][tT][aA]:|[hH][tT][tT][pP][sS]?:)"


def make_document(schema: Schema, name: str) -> dict[str, Any]:
    """The document of one model."""
    inputs = {f"input_{number}": _tensor(schema, key) for number, key in enumerate(schema.properties)}
    schemas = {**_answers(schema), "inference_request": _request(schema, list(inputs)), **inputs}
    model = f"/v2/models/{urllib.parse.quote(name, safe='')}"
    paths: dict[str, Any] = {
        "/v2": _get("metadata_server_response"),
        "/v2/health/live": _get("health_response"),
        "/v2/health/ready": _get("health_response", "503"),
        "/v2/models": _get("models_response"),
    }
    for prefix in (model, f"{model}/versions/1"):
        paths[prefix] = _get("metadata_model_response")
        paths[f"{prefix}/ready"] = _get("ready_model_response", "503")
        paths[f"{prefix}/infer"] = {"post": _infer()}
    info = {"title": f"Open Inference Protocol of {name}", "version": "2.0"}
    return {"openapi": "3.1.0", "info": info, "paths": paths, "components": {"schemas": schemas}}


def _thing(required: str = "", **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, **({"required": required.split()} if required else {})}


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _refer(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _json(name: str) -> dict[str, Any]:
    return {"application/json": {"schema": _refer(name)}}


def _get(answer: str, *failures: str) -> dict[str, Any]:
    answers = {status: {"description": "Not now", "content": _json(answer)} for status in failures}
    return {"get": {"responses": {"200": {"description": "OK", "content": _json(answer)}, **answers}}}


def _infer() -> dict[str, Any]:
    failures = {
        "400": "The request does not fit this document",
        "413": "The body is too large",
        "429": "Too many requests are waiting",
        "500": "The model failed",
        "503": "The model is not ready",
    }
    answers = {status: {"description": text, "content": _json("error_response")} for status, text in failures.items()}
    binary = {"application/octet-stream": {}}
    return {
        "requestBody": {"required": True, "content": _json("inference_request")},
        "responses": {"200": {"description": "OK", "content": {**_json("inference_response"), **binary}}, **answers},
    }


def _answers(schema: Schema) -> dict[str, Any]:
    facts = _thing("name datatype shape", name=_TEXT, datatype=_TEXT, shape=_SIZES, parameters={"type": "object"})
    datatype, _ = describe_tensor(schema, schema.output)
    element = {"BYTES": "string", "INT64": "integer", "FP64": "number", "BOOL": "boolean"}[datatype]
    data = _list({"type": [element, "null"]})
    output = _thing("name shape datatype", name={"const": "output"}, shape=_SIZES, datatype={"const": datatype}, data=data)
    return {
        "metadata_server_response": _thing("name version extensions", name=_TEXT, version=_TEXT, extensions=_list(_TEXT)),
        "health_response": _thing("live", live=_FLAG, ready=_FLAG),
        "models_response": _thing("models", models=_list(_TEXT)),
        "ready_model_response": _thing("name ready", name=_TEXT, ready=_FLAG),
        "metadata_model_response": _thing(
            "name versions platform inputs outputs",
            name=_TEXT, versions=_list(_TEXT), platform=_TEXT, inputs=_list(facts), outputs=_list(facts),
        ),
        "inference_response": _thing("model_name outputs", model_name=_TEXT, model_version=_TEXT, id=_TEXT, outputs=_list(output)),
        "error_response": _thing("error", error=_TEXT),
    }  # fmt: skip


def _request(schema: Schema, names: list[str]) -> dict[str, Any]:
    required = set(schema.input.get("required", ()))
    keys = list(schema.properties)
    inputs: dict[str, Any] = {"type": "array", "minItems": len(required), "maxItems": len(keys)}
    if len(keys) == 1:
        inputs["items"] = _refer(names[0])
    elif keys:
        inputs["items"] = {"anyOf": [_refer(name) for name in names]}
        once = [_thing("name", name={"const": key}) for key in keys]
        inputs["allOf"] = [
            {"contains": one, "minContains": int(key in required), "maxContains": 1} for key, one in zip(keys, once)
        ]
    wanted = _thing("name", name={"const": "output"}, parameters=_thing(binary_data=_FLAG))
    flags = _thing(binary_data_output=_FLAG)
    return _thing("inputs", id=_TEXT, parameters=flags, inputs=inputs, outputs=_list(wanted))


def _tensor(schema: Schema, key: str) -> dict[str, Any]:
    """One input: an object for each length, way of writing the shape and kind of contents that go together."""
    node = schema.resolve(schema.properties[key])
    datatype, is_list = describe_tensor(schema, node)
    leaf = schema.resolve(node["items"]) if is_list else node
    is_file = leaf.get("type") == "string" and leaf.get("format") == "uri"
    plain = {"type": "object", "not": {"required": ["binary_data_size"]}}
    kinds = _file_kinds(plain) if is_file else [("name shape datatype data", plain, _value(schema, leaf))]
    forms = []
    for required, parameters, element in kinds:
        element = _or_null(leaf, element)
        for shape, data in _forms(node, element, is_list):
            forms.append(
                _thing(
                    required, name={"const": key}, shape=shape, datatype={"enum": list(ACCEPTED[datatype])},
                    data=data, parameters=parameters,
                )
            )  # fmt: skip
    text = str(node.get("description", ""))
    return {**({"description": text} if text else {}), "anyOf": forms}


def _forms(node: dict[str, Any], element: dict[str, Any], is_list: bool) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Shapes with the data that they go with: flat, or nested as a shape of two dimensions says."""
    low, high = node.get("minItems", 0), node.get("maxItems", LENGTHS[-1])
    forms = []
    for count in [length for length in LENGTHS if low <= length <= high] if is_list else [1]:
        column, row = [count, 1], [1, count]
        forms.append((_one_of([count], column, row), _exactly(count, element)))
        forms.append((_one_of(column), _exactly(count, _exactly(1, element))))
        forms.append((_one_of(row), _exactly(1, _exactly(count, element))))
    return forms


def _one_of(*shapes: list[int]) -> dict[str, Any]:
    different = [shape for index, shape in enumerate(shapes) if shape not in shapes[:index]]
    return {"type": "array", "items": {"type": "integer"}, "enum": different}


def _exactly(count: int, items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": count, "maxItems": count}


def _file_kinds(plain: dict[str, Any]) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """The contents themselves, or in base64 where the parameter ``content_type`` says so."""
    text = "The contents of the file; a data: or http(s): URL is accepted, too"
    other = {**plain, "properties": {"content_type": {"type": "string", "not": {"const": "base64"}}}}
    encoded = {**plain, "properties": {"content_type": {"const": "base64"}}, "required": ["content_type"]}
    return [
        ("name shape datatype data", other, {"type": "string", "pattern": _NO_URL, "description": text}),
        ("name shape datatype data parameters", encoded, {"type": "string", "pattern": _BASE64}),
    ]


def _value(schema: Schema, node: dict[str, Any], depth: int = 0) -> dict[str, Any]:
    """A node of the model's own document (OpenAPI 3.0) in the dialect of 3.1, without references."""
    node = schema.resolve(node)
    if node.get("type") == "array" and depth == 0:
        # A nested list would be taken for a shape.
        whole = _value(schema, node, 1)
        return {"type": "string", "contentMediaType": "application/json", "contentSchema": whole, "description": "JSON text"}
    value = {key: node[key] for key in _LIMITS if key in node}
    branches = node.get("anyOf") or node.get("oneOf")
    if branches:
        kept = [one for one in branches if depth or schema.resolve(one).get("type") != "array"]
        value["anyOf"] = [_or_null(schema.resolve(one), _value(schema, one, depth + 1)) for one in kept]
    elif not value and depth == 0:
        value["type"] = ["string", "number", "boolean", "object", "null"]
    if depth < 16 and isinstance(node.get("items"), dict):
        items = schema.resolve(node["items"])
        value["items"] = _or_null(items, _value(schema, items, depth + 1))
    if depth < 16 and isinstance(node.get("properties"), dict):
        fields = {key: schema.resolve(one) for key, one in node["properties"].items()}
        value["properties"] = {key: _or_null(one, _value(schema, one, depth + 1)) for key, one in fields.items()}
    extra = node.get("additionalProperties")
    if isinstance(extra, dict) and extra and depth < 16:
        value["additionalProperties"] = _or_null(schema.resolve(extra), _value(schema, extra, depth + 1))
    elif extra is False:
        value["additionalProperties"] = False
    return value


def _or_null(node: dict[str, Any], value: dict[str, Any]) -> dict[str, Any]:
    is_nullable = node.get("nullable") or ("default" in node and node["default"] is None)
    return {"anyOf": [value, {"type": "null"}]} if is_nullable else value
