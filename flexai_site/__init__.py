"""The Django project: settings from the environment, root URLs, WSGI and Celery applications."""

# Whoever loads Django sends tasks to this application, not to Celery's nameless default one.
from flexai_site.celery import app as celery_app

__all__ = ["celery_app"]
