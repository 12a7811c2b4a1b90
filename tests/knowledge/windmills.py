"""As much of Windmill's API as starting runs needs."""

import re

from pytest_httpserver import HTTPServer
from werkzeug import Request, Response


class Windmill:
    """Takes every run once: `started` are the paths and arguments. None of them is open, unless `are_open`."""

    def __init__(self, server: HTTPServer) -> None:
        self.started: list[tuple[str, dict]] = []
        self.ids: set[str] = set()
        self.are_open = False
        server.expect_request(re.compile("/api/w/local/jobs_u/get/.*")).respond_with_handler(self._get)
        server.expect_request("/api/w/local/jobs/run/f/f/knowledge/ingest_source").respond_with_handler(self._run)
        server.expect_request("/api/w/local/jobs/run/f/f/knowledge/crawl_site").respond_with_handler(self._run)

    def _get(self, request: Request) -> Response:
        if request.path.rpartition("/")[2] not in self.ids:
            return Response("", 404)
        return Response(f'{{"type": "{"QueuedJob" if self.are_open else "CompletedJob"}"}}')

    def _run(self, request: Request) -> Response:
        job_id = request.args["job_id"]
        if job_id in self.ids:
            return Response(f"Job with id {job_id} already exists", 400)
        self.ids.add(job_id)
        self.started.append((request.path.rpartition("/")[2], request.get_json()))
        return Response(job_id, 201)
