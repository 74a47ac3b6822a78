"""django-post_office, started and waiting for the word: then it sends its queue, and says when that is written down."""

import os
import sys

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.benchmarks.peers.settings")
django.setup()

from post_office.mail import send_queued  # noqa: E402  after the set-up, as Django asks


def main() -> None:
    """`PROCESSES`: with a log row for each mail, as it comes."""
    print("ready", flush=True)
    sys.stdin.readline()
    sent, failed, requeued = send_queued(processes=int(sys.argv[1]), log_level=2)
    print(f"{sent} sent, {failed} failed, {requeued} left", flush=True)


if __name__ == "__main__":
    main()
