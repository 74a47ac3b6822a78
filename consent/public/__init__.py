"""Pages and addresses for people without a login: stop with one press, see and change choices, a browser's signal."""
