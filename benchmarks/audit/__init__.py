"""The audit ledger against the same work without it."""
