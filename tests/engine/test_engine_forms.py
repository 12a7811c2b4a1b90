"""Forms with files: into an object storage (moto's), as references to a script, and the tenant's route for uploads."""

import hashlib
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import httpx
import psycopg
import pytest
from engines import CLIENT, Engine
from moto.server import ThreadedMotoServer
from systems import Database

from local.install import ROOT
from local.processes import free_port

KEYS = {"S3_ACCESS_KEY": "the-key", "S3_SECRET_KEY": "the-secret", "S3_BUCKET": "forms"}
API_KEY = "mr_key-of-the-forms"
TEXT = b"# Hours\n\nWe open at nine."
LARGE = b"x" * (20 * 1024 * 1024 + 1)


@pytest.fixture(scope="module")
def storage() -> Iterator[ThreadedMotoServer]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=free_port(), verbose=False)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def bucket(storage: ThreadedMotoServer) -> Any:
    url = f"http://127.0.0.1:{storage._port}"
    keys = {"aws_access_key_id": "the-key", "aws_secret_access_key": "the-secret", "region_name": "us-east-1"}
    client = boto3.resource("s3", endpoint_url=url, **keys)
    return client.create_bucket(Bucket="forms")


def kept(bucket: Any) -> list[str]:
    return [item.key for item in bucket.objects.all()]


# The engine -------------------------------------------------------------------------------------

FORM = """
def main(event):
    return event

def preprocessor(event):
    return {"event": {"body": event["body"], "raw_string": event["raw_string"]}}
"""


@pytest.fixture(scope="module")
def engine(make_engine: Callable[..., Engine], storage: ThreadedMotoServer, bucket: Any) -> Engine:
    trigger = {"script_path": "f/a/form", "route_path": "form", "http_method": "post", "is_flow": False}
    trigger |= {"authentication_method": "none", "request_type": "sync", "workspaced_route": False, "wrap_body": False}
    trigger |= {"raw_string": True, "is_static_website": False, "mode": "enabled"}
    made = make_engine({"f/a/form.py": FORM, "f/a/form.http_trigger.yaml": trigger}, started=False)
    made.environment = {"S3_ENDPOINT": f"127.0.0.1:{storage._port}", **KEYS}
    return made.start()


def test_a_form_is_texts_and_references_to_files(engine: Engine, bucket: Any):
    files = [("file", ("a.PDF", b"%PDF", "application/pdf")), ("file", ("b", b"", None)), ("other", ("c.t-t", b"c"))]
    event = CLIENT.post(f"{engine.url}/api/r/form", data={"name": "[1]"}, files=files).json()
    body = event["body"]
    assert (event["raw_string"], body["name"]) == (None, "[1]")
    assert [len(body["file"]), len(body["other"])] == [2, 1] and body["file"][0]["s3"].endswith(".PDF")
    query = {"file_key": body["file"][0]["s3"]}
    about = engine.api("GET", "job_helpers/load_file_metadata", params=query).json()
    assert (about["mime_type"], about["size_in_bytes"]) == ("application/pdf", 4)
    assert engine.api("GET", "job_helpers/download_s3_file", params=query).content == b"%PDF"
    assert engine.api("DELETE", "job_helpers/delete_s3_file", params=query).status_code == 200
    assert engine.api("GET", "job_helpers/download_s3_file", params=query).status_code == 404
    assert engine.api("GET", "job_helpers/load_file_metadata", params=query).status_code == 404
    assert engine.api("GET", "job_helpers/load_file_metadata", token=None, params=query).status_code == 401
    assert query["file_key"] not in kept(bucket) and len(kept(bucket)) == 2


@pytest.mark.parametrize(
    ("kind", "status"), [("multipart/form-data", 400), ("multipart/form-data; boundary=x", 400)], ids=str
)
def test_a_form_that_is_none_is_refused(engine: Engine, kind: str, status: int):
    answer = CLIENT.post(f"{engine.url}/api/r/form", content=b"--y\r\nnothing", headers={"content-type": kind})
    assert answer.status_code == status, answer.text


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"S3_ENDPOINT": "127.0.0.1:1"}, "S3_ACCESS_KEY and S3_SECRET_KEY not"),
        ({"S3_ENDPOINT": "no host", **KEYS}, "S3_ENDPOINT: "),
    ],
)
def test_half_a_setting_stops_the_start(make_engine: Callable[..., Engine], variables: dict[str, str], told: str):
    made = make_engine({}, started=False)
    made.environment = variables
    with pytest.raises(AssertionError, match="the engine ended with 2") as error:
        made.start()
    assert told in str(error.value)


def test_a_storage_that_is_away_is_an_error(make_engine: Callable[..., Engine], engine: Engine):
    made = make_engine({}, started=False)
    made.workspace = engine.workspace
    made.environment = {"S3_ENDPOINT": f"127.0.0.1:{free_port()}", **KEYS}
    made.start()
    answer = CLIENT.post(f"{made.url}/api/r/form", files={"file": b"x"})
    assert answer.status_code == 500 and "does not answer put_object" in answer.text


# The tenant's route -----------------------------------------------------------------------------


@pytest.fixture
def upload(
    make_engine: Callable[..., Engine], engine: Engine, seeded_database: Database
) -> Iterator[Callable[..., httpx.Response]]:
    """POST upload of the workspace itself, where its tenants call it."""
    port = free_port()
    made = make_engine({}, "--api-port", str(port), started=False)
    made.workspace, made.environment = ROOT, engine.environment
    made.start()
    resource = {"path": "f/lib/database", "resource_type": "postgresql", "value": seeded_database.app_resource}
    assert made.api("POST", "resources/create", json=resource).status_code == 201
    with psycopg.connect(seeded_database.owner_url) as owner:
        owner.execute(
            "insert into api_keys (organization_id, name, key_prefix, key_hash, scopes) select organization_id, 'a',"
            " 'mr_key-o', %s, '{knowledge}' from organizations where slug = 'harbour-dental'",
            [hashlib.sha256(API_KEY.encode()).hexdigest()],
        )

    def post(key: str = API_KEY, **request: Any) -> httpx.Response:
        url = f"http://127.0.0.1:{port}/api/chatbots/harbour-dental/knowledge/upload"
        return httpx.post(url, headers={"authorization": f"Bearer {key}"}, timeout=60, **request)

    yield post
    assert made.process is not None and made.process.poll() is None, subprocess.list2cmdline(made.command())


def test_an_upload_as_a_form_is_taken_and_leaves_nothing_in_the_storage(upload, bucket, seeded_database):
    """One engine for all of it: starting one on the whole workspace takes some seconds."""
    before = kept(bucket)
    taken = upload(params={"filename": "hours.md"}, files={"file": ("x.md", TEXT, "text/markdown")})
    assert taken.status_code == 202, taken.text
    source = taken.json()
    assert (source["name"], source["content_type"], source["size"]) == ("hours.md", "text/markdown", len(TEXT))
    with psycopg.connect(seeded_database.owner_url) as owner:
        (stored,) = owner.execute("select bytes from source_files where size = %s", [len(TEXT)]).fetchone()
    assert stored == TEXT
    named = upload(data={"filename": "more.md", "language": "en"}, files={"file": ("x.md", TEXT + b"!")})
    assert named.status_code == 202 and named.json()["name"] == "more.md"
    for status, request in (
        (401, {"key": "mr_unknown", "params": {"filename": "a.md"}, "files": {"file": b"x"}}),
        (409, {"params": {"filename": "a.md"}, "files": {"file": ("a.md", TEXT)}}),
        (413, {"params": {"filename": "a.pdf"}, "files": {"file": ("a.pdf", LARGE)}}),
        (415, {"params": {"filename": "a.md"}, "files": {"file": ("a.md", TEXT, "image/png")}}),
        (422, {"files": {"file": ("a.md", TEXT)}}),
        (422, {"params": {"filename": "a.md"}, "files": [("file", b"x"), ("other", b"y")]}),
        (422, {"params": {"filename": "a.md"}, "data": {"more": "x"}, "files": {"file": b"x"}}),
        (422, {"params": {"filename": "a.md"}, "files": {"file": ("a.md", b"")}}),
    ):
        answer = upload(**request)
        assert (answer.status_code, set(answer.json()["error"])) == (status, {"code", "message"}), answer.text
    assert kept(bucket) == before
    bucket.put_object(Key="of-somebody-else", Body=b"secret words")
    forged = upload(params={"filename": "a.md"}, data={"file": '[{"s3": "of-somebody-else"}]'}, files={"x": b""})
    assert forged.status_code == 422 and "of-somebody-else" in kept(bucket)
