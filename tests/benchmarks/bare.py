"""Bare settings for the bare views: no middleware of ours stands in the base of a ratio."""

from config.settings import *  # noqa: F403

ROOT_URLCONF = "tests.benchmarks.urls"
MIDDLEWARE = []
