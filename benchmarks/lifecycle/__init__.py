"""The whole life cycle over REST, against a bare FastAPI + SQL floor."""
