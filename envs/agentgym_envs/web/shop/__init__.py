"""A small shop: search, cart, account and checkout, with tasks over them."""
