"""The product's settings, with the bare views that it is compared with beside its own."""

from config.settings import *  # noqa: F403

ROOT_URLCONF = "tests.benchmarks.urls"
