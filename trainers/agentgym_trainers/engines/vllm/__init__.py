"""The ``vllm`` engine: generation by vLLM, in servers or in this process."""
