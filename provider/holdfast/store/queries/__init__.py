"""The read side: every list is bounded and pages by key."""
