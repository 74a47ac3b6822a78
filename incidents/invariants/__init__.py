"""The twelve invariants (DESIGN section 4): what every validation, drill and test asks.

Each is one function of a `Look` (what is new since the last one, everything, or some consents) that answers with a
`Found`: met, breached, or unmeasured with the reason. Asking changes nothing but how far a cursor has come.
"""

from incidents.invariants.cases import (
    MAILED,
    SKEWED,
    STRAYED,
    UNNUMBERED,
    UNWRITTEN,
    drills_stay_in_their_cohort,
    one_incident_per_cause,
    timelines_are_whole,
)
from incidents.invariants.choices import (
    histories_are_whole,
    nothing_is_written_unguarded,
    opt_outs_are_kept,
    opt_outs_stand,
    states_agree,
)
from incidents.invariants.found import Found, Invariant, Look, Row, Verdict, everything, news, of_consents
from incidents.invariants.questions import (
    ANSWERED,
    CHAIN,
    FORGED,
    GAP,
    LEAF,
    LOST,
    ORPHAN,
    REVERSED,
    UNAPPROVED,
    UNDECLARED,
    UNGUARDED,
    UNTOLD,
)
from incidents.invariants.sending import (
    CONTACTED,
    OWED,
    REPORTED,
    TWICE,
    causes_are_known,
    messages_are_sent_once,
    nobody_is_contacted_after,
    ways_out_work,
)

__all__ = [
    "HISTORIES", "INVARIANTS", "OF_KEYS", "QUESTIONS", "ZERO", "Found", "Invariant", "Look", "Row", "Verdict",
    "everything", "news", "of_consents",
]  # fmt: skip

INVARIANTS: dict[str, Invariant] = {
    one.id: one
    for one in (
        Invariant("I1", "No opt-out is lost", "0 lost", opt_outs_are_kept),
        Invariant("I2", "No opt-out is reversed without the person's own act", "0 reversed", opt_outs_stand, True),
        Invariant("I3", "Nobody is contacted after opting out", "0 contacted", nobody_is_contacted_after, True),
        Invariant("I4", "Log, state and other systems agree", "0 after 60 s", states_agree),
        Invariant("I5", "History is whole", "0 faults", histories_are_whole),
        Invariant("I6", "Each owed message is sent once, or is visibly not sent", "0 missing, 0 twice",
                  messages_are_sent_once),
        Invariant("I7", "Opting out works", "99.9 % of uses, p99 within 5 s", ways_out_work),
        Invariant("I8", "Every opt-out knows why", "at most 1 % unknown", causes_are_known),
        Invariant("I9", "One incident per cause", "1 open per key", one_incident_per_cause),
        Invariant("I10", "No unguarded write", "0 writes", nothing_is_written_unguarded),
        Invariant("I11", "A drill stays in its cohort", "0 others", drills_stay_in_their_cohort, True),
        Invariant("I12", "The timeline is complete and ordered", "0 missing", timelines_are_whole),
    )
}  # fmt: skip
ZERO = ("I1", "I2", "I3", "I5", "I10", "I11", "I12")  # looked at every few seconds: what is found is told at once
OF_KEYS = ("I2", "I4", "I5", "I10")  # what can be asked about some consents alone
# What comes round to everything, slice by slice: with each run, and of the histories every few seconds.
QUESTIONS = (
    LOST, ANSWERED, REVERSED, CONTACTED, REPORTED, CHAIN, TWICE, OWED, UNGUARDED,
    UNAPPROVED, UNDECLARED, STRAYED, MAILED, UNNUMBERED, SKEWED, UNWRITTEN,
)  # fmt: skip
HISTORIES = (LEAF, GAP, FORGED, UNTOLD, ORPHAN)
