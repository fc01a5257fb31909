"""Plain subprocesses: for trusted code, and for machines where nothing better runs."""

from agentgym_tools.sandboxes.process.backend import ProcessBackend

__all__ = ["ProcessBackend"]
