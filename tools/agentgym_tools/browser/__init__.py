"""A real browser that models act in: what they see of a page, and what they can do to it."""
