"""How the states of change sets, their batches and answers look on a page: what is loud, what is quiet."""

STATES = {
    "in_review": "warning", "applying": "warning", "validating": "warning", "applied": "good", "paused": "danger",
    "rolling_back": "danger", "rejected": "danger", "stale": "danger",
}  # fmt: skip
MARKS = {
    "written": "plain", "passed": "good", "failed": "danger", "inconclusive": "warning", "approve": "good",
    "decline": "danger", "running": "warning", "waiting": "warning", "done": "good",
}  # fmt: skip
# The same in the theme's words, for columns of lists.
BADGES = {state: "success" if mark == "good" else mark for state, mark in STATES.items()}
BADGES |= {"approved": "info", "scheduled": "info"}
