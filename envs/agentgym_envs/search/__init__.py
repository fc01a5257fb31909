"""Multi-turn question answering with a search tool over a corpus."""
