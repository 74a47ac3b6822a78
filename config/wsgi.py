"""What the web server runs."""

import gc
import os
import sys

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
application = get_wsgi_application()

# Whoever waited for the database goes on within a millisecond, whatever another request computes beside it: five, as it
# is otherwise, several times in a request, is most of what the slowest hundredth of opt-outs would wait in a storm.
sys.setswitchinterval(0.001)
# What start-up made stays for good: a collection looks at what requests made, and not at half a million objects more.
gc.collect()
gc.freeze()
gc.set_threshold(20_000, 10, 10)
