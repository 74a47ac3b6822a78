from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig as DjangoAdminConfig


class ConfigConfig(AppConfig):
    name = "config"
    verbose_name = "Administration"

    def ready(self) -> None:
        from config import checks  # noqa: F401  registers them


class AdminConfig(DjangoAdminConfig):
    default_site = "config.admin.Site"

    def ready(self) -> None:
        super().ready()
        # After autodiscovery: Django's own pages of users and groups must stand before ours replace them.
        from config import accounts  # noqa: F401
