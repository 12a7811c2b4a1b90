"""Windmill's API of the workspace's object storage, as far as scripts use it, and what a form with files becomes."""

from collections.abc import AsyncGenerator, Iterator
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.responses import JSONResponse, Response

from local.engine.bodies import NO_STORAGE, BadBody, Body
from local.engine.http import ApiError, Call, Endpoint, bad_request, not_found
from local.engine.objects import ObjectMissing, ObjectStorage, StorageUnavailable

#: Files and fields of a form.
MOST_PARTS = 100


def endpoints() -> Iterator[tuple[str, str, Endpoint]]:
    """Method, path below the workspace, and what answers it."""
    yield "GET", "/job_helpers/load_file_metadata", show_file
    yield "GET", "/job_helpers/download_s3_file", read_file
    yield "DELETE", "/job_helpers/delete_s3_file", delete_file


def show_file(call: Call) -> Response:
    return JSONResponse(_do(call, "about"))


def read_file(call: Call) -> Response:
    return Response(_do(call, "read"), media_type="application/octet-stream")


def delete_file(call: Call) -> Response:
    _do(call, "delete")
    return JSONResponse("ok")


def _do(call: Call, action: str) -> Any:
    storage = call.engine.storage
    key = call.request.query_params.get("file_key")
    if storage is None:
        raise bad_request("the engine has no object storage: set S3_ENDPOINT")
    if not key:
        raise bad_request("file_key is missing")
    try:
        return getattr(storage, action)(key)
    except ObjectMissing:
        raise not_found("there is no such file in the object storage") from None
    except StorageUnavailable as error:
        raise ApiError(500, f"Internal: {error}") from None


async def read_form(storage: ObjectStorage | None, data: bytes, headers: Headers) -> Body:
    """A form as arguments: texts as they are, of each field with files a list of `{"s3": key}`.

    Raises BadBody; ApiError where the storage does not take them.
    """
    if storage is None:
        raise BadBody(NO_STORAGE)

    async def stream() -> AsyncGenerator[bytes, None]:
        yield data

    try:
        form = await MultiPartParser(headers, stream(), max_files=MOST_PARTS, max_fields=MOST_PARTS).parse()
    except MultiPartException as error:
        raise BadBody(f"Error reading multipart field: {error}") from None
    texts: dict[str, Any] = {}
    files: dict[str, list[dict[str, str]]] = {}
    try:
        for name, value in form.multi_items():
            if not isinstance(value, UploadFile):
                texts[name] = value
                continue
            kind = value.content_type or "application/octet-stream"
            key = await run_in_threadpool(storage.keep, await value.read(), kind, value.filename or "")
            files.setdefault(name, []).append({"s3": key})
    except StorageUnavailable as error:
        raise ApiError(500, f"Internal: {error}") from None
    finally:
        await form.close()
    return Body(texts | files)
