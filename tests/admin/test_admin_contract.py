"""Schemathesis makes up requests from docs/openapi.yaml and holds the answers against it."""

from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks
from systems import ROOT, RunningStack

from local.credentials import Credentials

pytestmark = pytest.mark.slow

schema = schemathesis.openapi.from_path(ROOT / "docs" / "openapi.yaml")
CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]


@schema.parametrize()
@pytest.mark.parametrize("caller", ["tenant", "operator"])
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
def test_answers_are_what_the_description_says(case: schemathesis.Case, caller: str, stack: RunningStack) -> None:
    key = stack.demo2_api_key
    if caller == "operator":
        key = Credentials.load(Path(stack.environment["DATA_DIR"])).operator_key
    case.call_and_validate(
        base_url=f"{stack.api_url}/api", headers={"authorization": f"Bearer {key}"}, checks=CHECKS, timeout=60
    )
