"""The subcommands of ``agentgym`` that need the ``train`` extra."""
