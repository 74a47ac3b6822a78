"""Finding out that people leave more, or less, than they do at this hour of the week, and what went with it."""
