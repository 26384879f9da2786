"""Helpers of all other modules, which import none of them."""
