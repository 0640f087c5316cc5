"""The floor: the same life cycle as a competent FastAPI application without any of what Holdfast is for.

It checks the form of what it gets (pydantic), keeps plain tables with foreign keys, uses SQLAlchemy Core with a pool of the same size,
and stores bytes as durably. It has no authentication, no policy, no audit events, no idempotency keys, no seals and no guards.
Each call is the fewest statements that give its reply; nothing is slower than it has to be.
"""
