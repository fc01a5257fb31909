"""MiniWoB++ as a site of web tasks."""
