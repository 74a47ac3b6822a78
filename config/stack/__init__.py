"""The product's own stack: servers from wheels for a laptop and the tests, and the processes of `make run`."""
