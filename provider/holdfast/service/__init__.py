"""The governance functions over PostgreSQL: one public function is one transaction with at least one audit event in it."""
