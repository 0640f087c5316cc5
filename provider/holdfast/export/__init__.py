"""Export: the audit trail as an ordered stream to other systems, which can tell by themselves whether anything is missing or altered."""
