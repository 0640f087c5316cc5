"""The tables, a file per subject."""

from holdfast.store.tables.audit import AuditEventRow, AuditRetentionRow, AuditSegmentRow
from holdfast.store.tables.base import SCHEMA, Table
from holdfast.store.tables.dataset import DatasetFileRow, DatasetRow, DatasetVersionRow
from holdfast.store.tables.export import ExportDeadLetterRow, ExportSinkRow
from holdfast.store.tables.hold import LegalHoldObjectRow, LegalHoldReleaseRow, LegalHoldRow
from holdfast.store.tables.ledger import LedgerCheckpointRow, LedgerHeadRow, LedgerLeafRow
from holdfast.store.tables.model import (
    AliasAssignmentRow,
    ModelRow,
    ModelVersionArtifactRow,
    ModelVersionRow,
    PromotionDecisionRow,
    PromotionPolicyRow,
    PromotionRow,
)
from holdfast.store.tables.project import IdempotencyReplyRow, ProjectRow, RoleBindingRow, ServiceTokenRow
from holdfast.store.tables.retention import RetentionPolicyDecisionRow, RetentionPolicyRow
from holdfast.store.tables.retention_plan import (
    RetentionCertificateRow,
    RetentionPlanDecisionRow,
    RetentionPlanItemRow,
    RetentionPlanRow,
)
from holdfast.store.tables.run import (
    ArtifactRow,
    EnvironmentLockRow,
    PipelineRunRow,
    PolicySnapshotRow,
    RunInputRow,
    RunRow,
)
from holdfast.store.tables.store_probe import StoreProbeRow

__all__ = [
    "SCHEMA",
    "AliasAssignmentRow",
    "ArtifactRow",
    "AuditEventRow",
    "AuditRetentionRow",
    "AuditSegmentRow",
    "DatasetFileRow",
    "DatasetRow",
    "DatasetVersionRow",
    "EnvironmentLockRow",
    "ExportDeadLetterRow",
    "ExportSinkRow",
    "IdempotencyReplyRow",
    "LedgerCheckpointRow",
    "LedgerHeadRow",
    "LedgerLeafRow",
    "LegalHoldObjectRow",
    "LegalHoldReleaseRow",
    "LegalHoldRow",
    "ModelRow",
    "ModelVersionArtifactRow",
    "ModelVersionRow",
    "PipelineRunRow",
    "PolicySnapshotRow",
    "ProjectRow",
    "PromotionDecisionRow",
    "PromotionPolicyRow",
    "PromotionRow",
    "RetentionCertificateRow",
    "RetentionPlanDecisionRow",
    "RetentionPlanItemRow",
    "RetentionPlanRow",
    "RetentionPolicyDecisionRow",
    "RetentionPolicyRow",
    "RoleBindingRow",
    "RunInputRow",
    "RunRow",
    "ServiceTokenRow",
    "StoreProbeRow",
    "Table",
]
