"""What the service promises of itself: its own OpenAPI document, read from the candidate.

An answer is held against the schema of its operation and its status. The document comes from a stranger, so it is
bounded like any body, its references stay inside it, and each schema is compiled once.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from reconciler.model.suite.answer import Answer, Unreadable
from reconciler.model.suite.schema import Fault, Schema, SchemaError

WHERE: Final = "/openapi.json"
JSON_TYPE: Final = re.compile(r"application/(?:[^;+]+\+)?json")


class NoContract(Exception):
    """There is no OpenAPI document that could be used."""


class OpenApi:
    def __init__(self, document: Mapping[str, Any], prefix: str) -> None:
        self._document = document
        self._prefix = prefix
        self._schemas: dict[str, Schema] = {}
        self._old = str(document.get("openapi", "")).startswith("3.0")

    @classmethod
    def read(cls, answer: Answer, prefix: str) -> "OpenApi":
        if answer.status != 200:
            raise NoContract(f"{WHERE} answers {answer.status}")
        try:
            document = answer.json
        except Unreadable as error:
            raise NoContract(f"{WHERE} is {error}") from None
        if not isinstance(document, dict) or not isinstance(document.get("paths"), dict):
            raise NoContract(f"{WHERE} holds no `paths`")
        return cls(document, prefix)

    def faults(self, method: str, path: str, answer: Answer) -> Sequence[tuple[str, Fault]]:
        return tuple(self._faults(method, path, answer))

    def _faults(self, method: str, path: str, answer: Answer) -> Iterator[tuple[str, Fault]]:
        template, operation = self._operation(method, path)
        told = f"{method} {template or path}"
        if operation is None or template is None:
            yield f"{told} in the OpenAPI document", Fault("$", "nothing about it")
            return
        responses = _mapping(operation.get("responses"))
        status = next((key for key in _keys(answer.status) if key in responses), None)
        if status is None:
            documented = ", ".join(sorted(map(str, responses))) or "none"
            yield f"a status documented for {told} ({documented})", Fault("$", str(answer.status))
            return
        yield from self._content(f"{told} → {status}", (template, method.lower(), status), responses[status], answer)

    def _content(
        self, told: str, key: tuple[str, str, str], response: Any, answer: Answer
    ) -> Iterator[tuple[str, Fault]]:
        pointer = ["paths", key[0], key[1], "responses", key[2]]
        response, pointer = self._behind(response, pointer)
        content = _mapping(_mapping(response).get("content"))
        if not content:
            return
        media = next((name for name in content if _fits(name, answer.media_type)), None)
        if media is None:
            yield f"a body of {' or '.join(content)} for {told}", Fault("$", answer.media_type or "no content type")
        elif JSON_TYPE.fullmatch(answer.media_type) and "schema" in _mapping(content[media]):
            yield from self._judge(told, [*pointer, "content", media, "schema"], answer)

    def _judge(self, told: str, pointer: list[str], answer: Answer) -> Iterator[tuple[str, Fault]]:
        promise = f"a body that fits {told}"
        try:
            schema = self._schema("/".join(["#", *map(_escaped, pointer)]))
            yield from ((promise, fault) for fault in schema.faults(answer.json))
        except (SchemaError, Unreadable) as error:
            yield promise, Fault("$", str(error))

    def _schema(self, pointer: str) -> Schema:
        if pointer not in self._schemas:
            shelves = {name: self._document[name] for name in ("components", "paths") if name in self._document}
            document = {"$ref": pointer, **(_modern(shelves) if self._old else shelves)}
            self._schemas[pointer] = Schema(document, "openapi.json")
        return self._schemas[pointer]

    def _operation(self, method: str, path: str) -> tuple[str | None, Mapping[str, Any] | None]:
        """The most literal path template that fits, as FastAPI may write it: with the prefix or without."""
        candidates = {path, path.removeprefix(self._prefix) or "/"}
        paths: Mapping[str, Any] = self._document["paths"]
        for template in sorted(paths, key=lambda text: (text.count("{"), -len(text))):
            form = re.compile("[^/]+".join(map(re.escape, re.split(r"\{[^{}]*\}", template))))
            if any(form.fullmatch(candidate) for candidate in candidates):
                operation = _mapping(paths[template]).get(method.lower())
                if isinstance(operation, dict):
                    return template, operation
        return None, None

    def _behind(self, node: Any, pointer: list[str]) -> tuple[Any, list[str]]:
        target = _mapping(node).get("$ref")
        if not isinstance(target, str) or not target.startswith("#/"):
            return node, pointer
        steps = [step.replace("~1", "/").replace("~0", "~") for step in target[2:].split("/")]
        node = self._document
        for step in steps:
            node = _mapping(node).get(step)
        return node, steps


def _mapping(node: Any) -> Mapping[str, Any]:
    """What should be an object there; a stranger's document may hold anything."""
    return node if isinstance(node, dict) else {}


def _keys(status: int) -> tuple[str, ...]:
    return str(status), f"{status // 100}XX", f"{status // 100}xx", "default"


def _fits(declared: str, got: str) -> bool:
    kind = declared.partition(";")[0].strip().lower()
    return kind in ("*/*", got) or (kind.endswith("/*") and got.startswith(kind[:-1]))


def _escaped(step: str) -> str:
    return re.sub(
        r"[^A-Za-z0-9_.~-]", lambda found: _percent(found.group()), step.replace("~", "~0").replace("/", "~1")
    )


def _percent(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode())


def _modern(node: Any) -> Any:
    """OpenAPI 3.0 said `nullable` where JSON Schema says that the type may be null."""
    if isinstance(node, list):
        return [_modern(item) for item in node]
    if not isinstance(node, dict):
        return node
    modern = {key: _modern(value) for key, value in node.items() if key != "nullable"}
    return {"anyOf": [modern, {"type": "null"}]} if node.get("nullable") is True else modern
