"""What is done every few seconds, nudged or not: opt-outs from disk, counts of the ways out, old answers dropped."""

from config import idempotency, refused_calls
from consent import exit_paths, spool

AT_ONCE = 1000


def keep_up() -> int:
    """Returns how much was done; zero means there is nothing left to do."""
    done = spool.replay()
    while seen := exit_paths.fold(AT_ONCE):
        done += seen
    refused_calls.flush()
    return done + idempotency.forget_old()
