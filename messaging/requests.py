"""An answer to a privacy request is a message like any other: owed in the transaction that gave the answer."""

import hashlib
from typing import Any

from consent.models import PrivacyRequest
from messaging.services import NewMessage, enqueue


def owe_answer(sender: object, *, request: PrivacyRequest, text: str, by: str, **_: Any) -> None:
    """Receiver of consent.signals.request_answered. The same answer twice is one message; another one is another."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    enqueue(
        [
            NewMessage(
                template_key="request_answered",
                subject_id=request.subject_id,
                cause=f"request:{request.pk}:answered:{digest}",
                context={"ref": request.ref, "answer": text},
                locale=request.locale,
                request_id=request.pk,
            )
        ]
    )
