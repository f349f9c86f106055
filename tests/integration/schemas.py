"""Requests and answers, held against openapi.yaml: the part of JSON Schema that it uses, and of OpenAPI."""

import json
import re
import subprocess

from harness import BIN, ROOT

TYPES = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool, "null": type(None)}
KNOWN = {"type", "enum", "const", "pattern", "minimum", "maximum", "properties", "required", "additionalProperties", "items",
         "anyOf", "oneOf", "$ref", "format", "description", "writeOnly", "default"}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def load():
    """The document of the API."""
    document = subprocess.run([BIN / "berth-openapi", "--json", ROOT / "agent/api/openapi.yaml"], check=True,
                              capture_output=True)
    return Api(json.loads(document.stdout))


def is_of(value, kind):
    return isinstance(value, TYPES[kind]) and not (kind == "integer" and isinstance(value, bool))


class Api:
    def __init__(self, document):
        self.document = document
        self.schemas = document["components"]["schemas"]

    def operation(self, method, path):
        """(the path as the document has it, the operation) of a request."""
        path = path.partition("?")[0]
        for pattern, operations in self.document["paths"].items():
            expression = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(pattern))
            if re.fullmatch(expression, path) and method.lower() in operations:
                return pattern, operations[method.lower()]
        raise AssertionError(f"openapi.yaml has no {method} {path}")

    def request_schema(self, method, path):
        """None where it describes no body of JSON."""
        body = self.operation(method, path)[1].get("requestBody", {})
        return body.get("content", {}).get("application/json", {}).get("schema")

    def answer(self, method, path, status):
        """What it says of an answer: its content by type."""
        responses = self.operation(method, path)[1]["responses"]
        answer = responses.get(str(status)) or responses["default"]
        if "$ref" in answer:
            answer = self.document["components"]["responses"][answer["$ref"].rpartition("/")[2]]
        return answer.get("content", {})

    def mistakes(self, value, schema, place="$"):
        """What is wrong with a value, in words."""
        unknown = set(schema) - KNOWN
        assert not unknown, f"this validator knows nothing of {unknown}"
        if "$ref" in schema:
            return self.mistakes(value, self.schemas[schema["$ref"].rpartition("/")[2]], place)
        for word in ("anyOf", "oneOf"):
            if word in schema:
                return self._mistakes_of_several(value, schema[word], word, place)
        found = []
        kinds = schema.get("type", [])
        kinds = [kinds] if isinstance(kinds, str) else kinds
        if kinds and not any(is_of(value, kind) for kind in kinds):
            return [f"{place} is {value!r:.80}, and should be {' or '.join(kinds)}"]
        if "enum" in schema and value not in schema["enum"]:
            found.append(f"{place} is {value!r}, which is none of {schema['enum']}")
        if "const" in schema and value != schema["const"]:
            found.append(f"{place} is {value!r}, not {schema['const']!r}")
        if isinstance(value, str):
            found += self._mistakes_of_text(value, schema, place)
        if is_of(value, "integer") and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
            found.append(f"{place} is {value}, out of bounds")
        if isinstance(value, list):
            for index, item in enumerate(value):
                found += self.mistakes(item, schema.get("items", {}), f"{place}[{index}]")
        if isinstance(value, dict):
            found += self._mistakes_of_object(value, schema, place)
        return found

    def _mistakes_of_several(self, value, schemas, word, place):
        all_mistakes = [self.mistakes(value, each, place) for each in schemas]
        good = sum(not mistakes for mistakes in all_mistakes)
        if good == 1 or (good > 1 and word == "anyOf"):
            return []
        if good > 1:
            return [f"{place} is of {good} forms at once"]
        return min(all_mistakes, key=len)

    @staticmethod
    def _mistakes_of_text(value, schema, place):
        found = []
        if "pattern" in schema and not re.search(schema["pattern"], value):
            found.append(f"{place} is {value!r:.80}, which is not like {schema['pattern']}")
        if schema.get("format") == "date-time" and not TIME.fullmatch(value):
            found.append(f"{place} is {value!r:.80}, which is no time")
        return found

    def _mistakes_of_object(self, value, schema, place):
        properties = schema.get("properties", {})
        others = schema.get("additionalProperties", True)
        found = [f"{place} has no {name}" for name in schema.get("required", []) if name not in value]
        for name, member in value.items():
            if name in properties:
                found += self.mistakes(member, properties[name], f"{place}.{name}")
            elif others is False:
                found.append(f"{place}.{name} is not described")
            elif isinstance(others, dict):
                found += self.mistakes(member, others, f"{place}.{name}")
        return found
