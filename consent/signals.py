"""News that must fail together with its sender. Receivers only write rows, and none stands in the way of an opt-out."""

from django.dispatch import Signal

# provides args: request (PrivacyRequest), written (str, by staff, with {data} in it), text (str, as it will be sent),
# by (str, an actor). A receiver raises ValidationError where what was written must not be sent.
request_answered = Signal()

# provides args: request (PrivacyRequest), by (str, an actor)
request_logged = Signal()

# provides args: request (PrivacyRequest, with its new due_at and the reason), by (str, an actor). As above.
request_extended = Signal()

# provides args: reversal (Reversal, whose person is asked by mail whether they want what it says)
reversal_to_ask = Signal()

# provides args: message_id (UUID), subject_id (UUID, whose link it was)
message_acknowledged = Signal()
