# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "typing-extensions==4.16.0",
# ]
# ///
"""Windmill variables that are only sometimes needed, read over its API. Importing `wmill` takes ten times as long."""

import os

import httpx


class VariableMissing(Exception):
    """The variable cannot be read; the text names its path and never its value."""


def read_variable(path: str) -> str:
    """The value of variable `path`, as the job that runs may read it. Raises VariableMissing."""
    url = f"{os.environ['BASE_INTERNAL_URL']}/api/w/{os.environ['WM_WORKSPACE']}/variables/get_value/{path}"
    try:
        answer = httpx.get(url, headers={"authorization": f"Bearer {os.environ['WM_TOKEN']}"}, timeout=5)
        answer.raise_for_status()
        value = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        raise VariableMissing(f"{path}: {type(error).__name__}") from error
    if not isinstance(value, str) or not value:
        raise VariableMissing(f"{path} is empty")
    return value
