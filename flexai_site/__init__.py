"""The Django project: settings from the environment, root URLs, WSGI and Celery applications."""
