"""The HTTP API, version 1: one router for each noun, mounted here.

A route parses, makes one service call and renders; errors are raised and become problem+json in `errors`.
"""

from datasets_app.api import (
    compose,
    connections,
    datasets,
    files,
    imports,
    integrity,
    jobs,
    labels,
    looking,
    retention,
    space,
    storage,
    summaries,
    teams,
    tokens,
    trash,
    versions,
)
from datasets_app.api.auth import auth
from datasets_app.api.docs import ReferencePage
from datasets_app.api.document import DocumentedApi
from datasets_app.api.errors import add_exception_handlers
from datasets_app.api.wire import JsonParser, JsonRenderer

DESCRIPTION = """\
Send `Authorization: Bearer <token>`; the account page makes tokens. A signed-in browser may use its session instead,
with the `X-CSRFToken` header on every request that changes something.

Errors are `application/problem+json` (RFC 9457) with `type`, `title`, `status`, `detail`, `errors` (one for each wrong
field or path) and `request_id`. What belongs to a team that you are not in is 404; a role that is too small is 403.

Lists take `cursor` and `limit`, and answer `{items, next_cursor}`; `next_cursor` is null on the last page.
"""

api = DocumentedApi(
    title="FlexAI Dataset Manager",
    version="1",
    description=DESCRIPTION,
    urls_namespace="api",
    auth=auth,
    docs=ReferencePage(),
    parser=JsonParser(),
    renderer=JsonRenderer(),
)
add_exception_handlers(api)

# A route's arguments from the prefix must be marked as such: `team: Path[str]`.
api.add_router("", tokens.router, tags=["account"])
api.add_router("/teams", teams.router, tags=["teams"])
api.add_router("/teams/{team}/datasets", datasets.router, tags=["datasets"])
api.add_router("/teams/{team}", trash.router, tags=["archive and trash"])
api.add_router("/teams/{team}/datasets/{name}", integrity.router, tags=["integrity"])
api.add_router("/teams/{team}/datasets/{name}/retention", retention.router, tags=["archive and trash"])
api.add_router("/teams/{team}", space.router, tags=["space"])
api.add_router("/teams/{team}", compose.router, tags=["compose"])
api.add_router("/teams/{team}/datasets/{name}/labels", labels.router, tags=["labels"])
api.add_router("/teams/{team}/datasets/{name}/versions", versions.router, tags=["versions"])
api.add_router("/teams/{team}/datasets/{name}/versions", files.router, tags=["files"])
api.add_router("/teams/{team}/datasets/{name}/versions", looking.router, tags=["files"])
api.add_router("/teams/{team}/datasets/{name}/versions", summaries.router, tags=["files"])
api.add_router("/teams/{team}/datasets/{name}/versions", imports.router, tags=["imports"])
api.add_router("/teams/{team}/connections", connections.router, tags=["connections"])
api.add_router("/teams/{team}/connections", imports.connections_router, tags=["imports"])
api.add_router("/storage", storage.router, tags=["storage (administrators)"])
api.add_router("/teams/{team}/jobs", jobs.router, tags=["jobs"])
