"""What is done every few seconds, nudged or not: opt-outs from disk and to it, failed ones, counts, old answers."""

from config import idempotency, refused_calls
from consent import exit_paths, flow, interrupted, opt_out_journal, spool
from consent.importing import emptying

AT_ONCE = 1000


def keep_up() -> int:
    """Returns how much was done; zero means there is nothing left to do."""
    done = spool.replay() + interrupted.take_up() + flow.flush() + flow.forget() + emptying.forget()
    while seen := exit_paths.fold(AT_ONCE):
        done += seen
    done += interrupted.recover() + opt_out_journal.keep()
    refused_calls.flush()
    return done + idempotency.forget_old()
