"""The HTTP interface of choices: record them, ask, follow the log, look at a person, step back in."""
