"""Object stores: versioned objects, written once, checked by digest when read."""
