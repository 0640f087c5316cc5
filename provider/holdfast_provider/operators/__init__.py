"""Operators: each parses its arguments, calls the governance functions, and presents the result as XComs."""

from holdfast_provider.operators.artifact import RegisterArtifactOperator
from holdfast_provider.operators.command import HoldfastCommandOperator
from holdfast_provider.operators.dataset import RegisterDatasetVersionOperator
from holdfast_provider.operators.model import (
    PromoteModelOperator,
    RegisterModelVersionOperator,
    RequestPromotionOperator,
)
from holdfast_provider.operators.run import RunOperator

__all__ = [
    "HoldfastCommandOperator",
    "PromoteModelOperator",
    "RegisterArtifactOperator",
    "RegisterDatasetVersionOperator",
    "RegisterModelVersionOperator",
    "RequestPromotionOperator",
    "RunOperator",
]
