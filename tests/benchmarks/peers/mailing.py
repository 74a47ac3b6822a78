"""The peers' side: a Celery app with its one task, and a queue for post_office to send."""

import json
import os
import sys
from pathlib import Path

import django
from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.benchmarks.peers.settings")
django.setup()

from django.core.mail import send_mail  # noqa: E402  after the set-up, as Django asks
from post_office import mail  # noqa: E402

app = Celery("peer", broker=os.environ["PEER_BROKER"])
app.conf.task_ignore_result = True

SENDER = "privacy@holdfast.example"


@app.task(name="peer.send")
def send(subject: str, text: str, html: str, recipient: str) -> None:
    send_mail(subject, text, SENDER, [recipient], html_message=html)


def main() -> None:
    """`celery|post_office COUNT FILE`: put so many copies of the mail in the file into that queue."""
    queue, count, path = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    content = json.loads(path.read_text(encoding="utf-8"))
    recipients = [f"person{number}@example.org" for number in range(count)]
    if queue == "celery":
        for recipient in recipients:
            send.delay(content["subject"], content["text"], content["html"], recipient)
        return
    mail.send_many(
        [
            {
                "sender": SENDER,
                "recipients": [recipient],
                "subject": content["subject"],
                "message": content["text"],
                "html_message": content["html"],
            }
            for recipient in recipients
        ]
    )


if __name__ == "__main__":
    main()
