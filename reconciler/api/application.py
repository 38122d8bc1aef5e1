"""The control plane's application, put together."""

from fastapi import FastAPI

from reconciler import __version__
from reconciler.api import (
    actions,
    dashboard,
    events,
    git,
    logs,
    metrics,
    probes,
    reference,
    runs,
    secrets,
    services,
    sign_in,
    syncs,
    tokens,
    webhooks,
)
from reconciler.api.access import Access
from reconciler.api.audited import Audited
from reconciler.api.document import DESCRIPTION, operation_id, publish
from reconciler.api.doorway import Doorway
from reconciler.api.etags import Named
from reconciler.api.followers import Followers
from reconciler.api.platform import Platform
from reconciler.api.problems import answer_with_problems
from reconciler.model.webhook.doors import Doors

ROUTERS = (
    probes.router,
    syncs.router,
    services.router,
    metrics.router,
    logs.router,
    actions.router,
    events.router,
    runs.router,
    tokens.router,
    sign_in.router,
    dashboard.router,
    reference.router,
    reference.pages,
    webhooks.router,
    git.router,
    secrets.router,
)


def build(
    platform: Platform,
    access: Access,
    doors: Doors | None = None,
    webhook_body: int | None = None,
    *,
    services_at: str = "",
    open_metrics: bool = False,
) -> FastAPI:
    """`services_at` is the address of the services' listener, as clients know it."""
    app = FastAPI(
        title="reconciler",
        version=__version__,
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=operation_id,
        servers=[{"url": "/"}],
    )
    app.state.platform = platform
    app.state.access = access
    app.state.services_at = services_at
    app.state.open_metrics = open_metrics
    app.state.followers = Followers()
    app.state.listeners = Followers(events.MOST_LISTENERS)
    app.state.sign_in_code = sign_in.SignInCode()
    app.state.intake = webhooks.Intake(doors or {})
    app.add_middleware(Named)
    app.add_middleware(Audited)
    app.add_middleware(Doorway, allowed_hosts=access.hosts, signed=webhooks.limits(webhook_body))
    answer_with_problems(app, ROUTERS)
    git.answer_in_plain_text(app)
    publish(app, ROUTERS)
    for router in ROUTERS:
        app.include_router(router)
    return app
