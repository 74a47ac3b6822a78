"""The product's settings with development secrets and a quick password hasher, so that pytest needs no environment."""

import os

os.environ["DEBUG"] = "1"
for name in ("DATABASE_URL", "REDIS_URL", "DATABASE_POOL"):
    os.environ.pop(name, None)  # tests bring their own servers

from config.settings import *  # noqa: E402, F403

FLOW_FLUSH_SECONDS = 0  # a thread's own connection would write beside a test's transaction
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
OPT_OUT_JOURNAL_DAYS = 0  # each test has a database of its own, which the next one would find to be gone
EXIT_PATH_PROBES = False  # nothing listens at PUBLIC_URL; tests of probes switch them on and bring a server
