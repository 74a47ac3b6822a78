"""What the event stream's server runs: `granian --interface asgi incidents.stream.asgi:application`."""

import os
from importlib import import_module

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()
application = import_module("incidents.stream.serving").Application()
