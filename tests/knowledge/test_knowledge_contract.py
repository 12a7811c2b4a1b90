"""The routes keep to docs/knowledge.openapi.yaml."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from systems import ROOT, RunningStack

DESCRIPTION = ROOT / "docs" / "knowledge.openapi.yaml"


def test_every_route_is_described_and_every_description_is_a_route():
    described = {
        (method, re.sub(r"\{(\w+)\}", r":\1", path.removeprefix("/api/")), operation["operationId"])
        for path, operations in yaml.safe_load(DESCRIPTION.read_text())["paths"].items()
        for method, operation in operations.items()
        if method != "parameters"
    }
    triggers = [yaml.safe_load(path.read_text()) for path in (ROOT / "f/knowledge").glob("*.http_trigger.yaml")]
    assert described == {(t["http_method"], t["route_path"], Path(t["script_path"]).name) for t in triggers}


@pytest.mark.slow
def test_what_schemathesis_sends_is_answered_as_described(stack: RunningStack, tmp_path: Path):
    command = [
        str(Path(sys.executable).with_name("schemathesis")), "run", str(DESCRIPTION), "--url", stack.api_url,
        "--header", f"Authorization: Bearer {stack.demo2_api_key}", "--max-examples", "15", "--phases", "fuzzing",
        "--mode", "positive", "--checks", "not_a_server_error,status_code_conformance,response_schema_conformance",
        "--exclude-operation-id", "add_url", "--exclude-operation-id", "add_batch",
        "--exclude-operation-id", "add_crawl", "--no-color",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout[-4000:]
