"""Probes for load balancers and process managers."""

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from datasets_app.services.health import check_readiness


@never_cache
@require_safe
def healthz(_request: HttpRequest) -> HttpResponse:
    """Answer 200 while the process lives."""
    return HttpResponse("ok\n", content_type="text/plain")


@never_cache
@require_safe
def readyz(_request: HttpRequest) -> JsonResponse:
    """Answer 200 when database, broker and store work, else 503; the body names each of them."""
    checks = check_readiness()
    return JsonResponse(checks, status=200 if set(checks.values()) == {"ok"} else 503)
