"""The root of all URLs."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

from datasets_app.views.account import admin_sign_in
from datasets_app.views.health import healthz, readyz

urlpatterns: list[URLPattern | URLResolver] = [
    path("healthz", healthz, name="healthz"),
    path("readyz", readyz, name="readyz"),
    path("admin/login/", admin_sign_in),
    path("admin/", admin.site.urls),
    path("", include("datasets_app.urls")),
]

handler400 = "datasets_app.views.errors.bad_request"
handler403 = "datasets_app.views.errors.permission_denied"
handler404 = "datasets_app.views.errors.page_not_found"
handler500 = "datasets_app.views.errors.server_error"
