"""The application's entry in INSTALLED_APPS."""

from django.apps import AppConfig


class DatasetsConfig(AppConfig):
    """Datasets, their versions, and the jobs that read them."""

    name = "datasets_app"
    verbose_name = "Datasets"
