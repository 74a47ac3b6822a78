"""`manage.py stop`: end the stack of this folder, also one whose launcher was killed."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from config.stack import remains
from config.stack.folder import Folder


class Command(BaseCommand):
    help = "End what 'manage.py up' started, or left behind."
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        folder = Folder(settings.BASE_DIR)
        ended = remains.end(folder, launcher_too=True) if folder.path.exists() else 0
        (folder.path / "running.json").unlink(missing_ok=True)
        self.stdout.write(f"Ended {ended} processes." if ended else "Nothing was running.")
