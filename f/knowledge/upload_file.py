# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "psycopg==3.3.9", "psycopg-binary==3.3.9", "typing-extensions==4.16.0",
# ]
# ///
"""Upload a file to a chatbot's knowledge"""

from f.knowledge.library import MAX_BYTES, language_of, open_library
from f.knowledge.uploads import Upload, file_name, form_of, is_form, is_readable, upload_of
from f.lib import http
from f.lib.windmill import WindmillError, delete_object, take_object

TOO_LARGE = http.ApiError(413, "too_large", "a file has 20 MB at most")


@http.answering(202)
def main(chatbot: str, filename: str, language: str | None = None, request: dict | None = None) -> dict:
    """Purpose: the bot answers from a document.

    chatbot: id or slug
    filename: what an answer calls it; its ending says what it is
    language: code such as es; found out if left out
    request: filled in by the HTTP route, with the file as the request's body, or in a form

    Answers 202 with the source, whose ingestion goes on in the background.
    """
    with open_library(request, chatbot) as library:
        name = file_name("filename", filename)
        code = language_of(language)
        upload: Upload | None = http.sent_file()
        if upload and upload.problem:
            raise upload.problem
        if upload is None or upload.data is None:
            raise http.ApiError(422, "invalid_request", "the file is expected as the request's body, or in a form")
        if len(upload.data) > MAX_BYTES:
            raise TOO_LARGE
        if not upload.data:
            raise http.ApiError(422, "invalid_request", "the file is empty")
        if not is_readable(name, upload.content_type):
            raise http.ApiError(415, "unsupported_type", "PDF, DOCX, HTML, Markdown and plain text can be read")
        return library.add("file", name, data=upload.data, content_type=upload.content_type, language=code)


def preprocessor(event: dict) -> dict:
    return {"request": http.request_of(event, http.accepted_by(main), take_file=take)}


def take(event: dict) -> tuple[Upload, dict]:
    """The file, and the other fields of a form."""
    if not is_form(event):
        return upload_of(event), {}
    texts, keys = form_of(event)
    try:
        return take_stored(keys), texts
    except WindmillError as error:
        print(f"the object storage: {error}")
        away = http.ApiError(503, "unavailable", "the object storage cannot do this now: try again")
        return Upload(None, "", away), texts


def take_stored(keys: list[str]) -> Upload:
    """Whoever calls, with a key of ours or without: the files do not stay in the storage. Raises WindmillError."""
    if len(keys) != 1:
        for key in keys:
            delete_object(key)
        return Upload(None, "", http.ApiError(422, "invalid_request", "the form is expected to have one file"))
    data, kind = take_object(keys[0], MAX_BYTES)
    return Upload(data, kind.partition(";")[0].strip().lower(), TOO_LARGE if data is None else None)
