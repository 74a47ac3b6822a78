"""The event stream: a small process of its own that tells pages and services when the numbers have changed."""
