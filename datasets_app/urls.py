"""The URLs of pages, API and upload endpoint; one include for each room."""

from django.urls import URLPattern, URLResolver, path

from datasets_app.api import api
from datasets_app.api.errors import no_such_address

urlpatterns: list[URLPattern | URLResolver] = [
    path("api/v1/", api.urls),
    # After everything else under api/, also the tus endpoint.
    path("api/<path:rest>", no_such_address),
]
