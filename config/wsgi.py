"""What the web server runs."""

import gc
import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
application = get_wsgi_application()

# What start-up made stays for good: a collection looks at what requests made, and not at half a million objects more.
gc.collect()
gc.freeze()
gc.set_threshold(20_000, 10, 10)
