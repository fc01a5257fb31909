"""What runs inside vLLM's workers; imports vLLM and torch alone."""
