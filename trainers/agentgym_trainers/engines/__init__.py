"""What generates: engines behind :class:`agentgym.Engine`."""
