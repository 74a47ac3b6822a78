"""Change sets: planned, approved by others, applied in batches that are judged, and taken back as one.

`operations` and `configuration` say what may be done, `selecting` to whom; `planning` counts what it would do without
doing it, `staleness` says when that count no longer holds; `deciding` is what people say about it, `allowing` who may
say it and when; `applying` writes, `judging` looks at what was written, `rolling_back` takes it back, `running` carries
all of that on when a worker dies. `migrating` is the same for scripts and data migrations.
"""
