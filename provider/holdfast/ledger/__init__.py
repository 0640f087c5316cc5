"""The audit ledger: committed events in one order, a tree over them, and what proves it to strangers."""
