"""A company's life to look at: made-up people, real doors. Only where DEBUG is on."""
