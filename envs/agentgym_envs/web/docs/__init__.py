"""The documentation of Python, as a site of questions."""
