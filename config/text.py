"""What no text that comes from outside may hold."""

import re

# C0, DEL, C1, line separators, lone surrogates: they break exports, logs and terminals, or the database refuses them.
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
CONTROL_IN_LINES = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")  # tabs and line ends may stay
