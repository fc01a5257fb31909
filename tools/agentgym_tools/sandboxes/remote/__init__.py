"""Sandboxes of other hosts, over HTTP: the server that offers them and the backend that asks."""
