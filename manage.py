#!/usr/bin/env python
"""The door to every command of the product."""

import os
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    if sys.argv[1:2] in (["up"], ["stop"], ["env"]):
        os.environ.setdefault("DEBUG", "1")  # the stack on a laptop makes its own secrets
    execute_from_command_line(sys.argv)
