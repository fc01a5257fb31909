"""Containers of a Docker or Podman engine: one for each episode."""

from agentgym_tools.sandboxes.docker.backend import DockerBackend

__all__ = ["DockerBackend"]
