"""The application: everything put together, and the page's files with their headers."""

from pathlib import Path

from aiohttp import web

from local.simulator.cloud_routes import CloudRoutes
from local.simulator.control_routes import ControlRoutes, explain
from local.simulator.deliveries import Courier
from local.simulator.faults import Faults
from local.simulator.feed import Feed
from local.simulator.numbers import Numbers
from local.simulator.phones import Phones
from local.simulator.store import Store
from local.simulator.turns import Turns

STATIC = Path(__file__).parent / "static"
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

#: The page loads nothing from elsewhere and runs nothing that is not in its own files.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-cache",
}


def build_app(numbers: Numbers, store: Store, feed: Feed, courier: Courier, turns: Turns) -> web.Application:
    app = web.Application(middlewares=[explain], client_max_size=4 * 1024 * 1024)
    faults = Faults()
    phones = Phones(store, feed, courier)
    CloudRoutes(numbers, phones, faults).add_to(app)
    ControlRoutes(numbers, store, feed, phones, faults, turns).add_to(app)
    app.router.add_get("/", show_page)
    app.router.add_get("/static/{name}", show_file)
    app.on_shutdown.append(lambda _: close(feed))
    app.on_response_prepare.append(add_headers)
    return app


async def show_page(request: web.Request) -> web.Response:
    return serve("index.html")


async def show_file(request: web.Request) -> web.Response:
    return serve(request.match_info["name"])


def serve(name: str) -> web.Response:
    # Of the files that are there, so that no name leads out of the folder.
    path = next((path for path in STATIC.iterdir() if path.name == name and path.suffix in TYPES), None)
    if path is None:
        raise web.HTTPNotFound
    return web.Response(body=path.read_bytes(), content_type=TYPES[path.suffix], charset="utf-8")


async def close(feed: Feed) -> None:
    feed.close()


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update({name: value for name, value in HEADERS.items() if name not in response.headers})
