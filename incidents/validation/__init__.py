"""Continuous validation: the invariants are asked all the time, what drifted is put right, and what is broken is told.

`run` asks all of them and keeps the answers; `of_keys` asks about some consents, for a change that was just applied;
`look` asks those that may never be broken, between two runs. `keep`, `keep_states` and `keep_histories` are what
workers call every few seconds: they know by themselves when it is time.
"""

from incidents.validation.drifting import keep_states
from incidents.validation.histories import keep_histories
from incidents.validation.running import keep, of_keys, run, soon
from incidents.validation.telling import look

__all__ = ["keep", "keep_histories", "keep_states", "look", "of_keys", "run", "soon"]
