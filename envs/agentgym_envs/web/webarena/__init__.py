"""Task files in WebArena's format, played on local sites."""
