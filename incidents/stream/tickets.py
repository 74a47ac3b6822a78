"""Who may listen: a browser with a ticket that its page was given, or a service with its key."""

from django.core import signing

from config.authentication import caller_of, no_key
from config.models import Scope, User
from config.problems import Refused

SALT = "incidents.stream"
HOLDS = 12 * 3600  # seconds
PERMISSION = "consent.view_decision"


def issue(user: User) -> str:
    """For the address of a stream: an EventSource can send no header. It opens nothing else."""
    return signing.dumps(user.pk, salt=SALT)


def check_ticket(ticket: str) -> None:
    """Raises Refused for a ticket that is not ours, too old, or whose user may not look any more."""
    try:
        number = signing.loads(ticket, salt=SALT, max_age=HOLDS)
    except signing.BadSignature as error:
        raise Refused(403, "bad_ticket", "This ticket is not valid any more. Load the page again.") from error
    user = User.objects.filter(pk=number, is_active=True).first()
    if user is None or not user.has_perm(PERMISSION):
        raise Refused(403, "not_allowed", "This account may not look at opt-outs.")


def check_key(authorization: str) -> None:
    """Raises Refused or Unauthorized."""
    caller = caller_of(authorization)
    if caller is None:
        raise no_key()
    caller.needs(Scope.INCIDENTS_READ)
