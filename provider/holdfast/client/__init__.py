"""The governance functions over HTTP. Holds a service token and no database."""

from holdfast.client.governance import GovernanceClient

__all__ = ["GovernanceClient"]
