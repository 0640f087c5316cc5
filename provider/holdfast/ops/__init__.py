"""Looking after an installation: what plans a change in bulk, and what applies exactly that plan."""
