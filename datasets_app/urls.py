"""The URLs of pages, API and upload endpoint; one include for each room."""

from django.urls import URLPattern, URLResolver

urlpatterns: list[URLPattern | URLResolver] = []
