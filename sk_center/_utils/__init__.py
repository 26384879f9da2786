"""Helpers of all other modules; they know none of them."""
