"""Reads YAML as Windmill's CLI does: by the core schema of YAML 1.2, where `yes`, `012` and dates are not special."""

import re
from typing import Any

import yaml


class Loader(yaml.SafeLoader):
    """PyYAML with the scalars of YAML 1.2, and without two equal keys in a mapping."""


def read_yaml(text: str) -> Any:
    """The document in `text`. Raises yaml.YAMLError."""
    return yaml.load(text, Loader)  # noqa: S506  # a SafeLoader


def _integer(loader: Loader, node: yaml.ScalarNode) -> int:
    text = str(loader.construct_scalar(node))
    return int(text, 0) if text[:2] in ("0x", "0o") else int(text)


def _mapping(loader: Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    mapping = loader.construct_mapping(node, deep=True)
    if len(mapping) < len(node.value):
        raise yaml.constructor.ConstructorError(None, None, "a key is there twice", node.start_mark)
    return mapping


Loader.yaml_implicit_resolvers = {}
for tag, pattern, first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
    ("null", r"~|null|Null|NULL|", "~nN\0"),
):
    places = ["" if character == "\0" else character for character in first]
    Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(f"^(?:{pattern})$"), places)
Loader.add_constructor("tag:yaml.org,2002:int", _integer)
Loader.add_constructor("tag:yaml.org,2002:map", _mapping)
