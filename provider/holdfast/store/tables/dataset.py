"""Datasets, DatasetVersions and their files."""

from uuid import UUID

from sqlalchemy import CheckConstraint, Index, Integer, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import BIGINT
from sqlalchemy.orm import Mapped, mapped_column

from holdfast.store.tables.base import Bytes, CreatedAt, Id, Table, is_digest, one_of, project_key, same_project


class DatasetRow(Table):
    """A Dataset: the name under which DatasetVersions are numbered."""

    __tablename__ = "dataset"
    __table_args__ = (project_key(), UniqueConstraint("project_id", "id"), UniqueConstraint("project_id", "name"))

    id: Mapped[Id]
    project_id: Mapped[UUID]
    name: Mapped[str]
    created_at: Mapped[CreatedAt]


class DatasetVersionRow(Table):
    """A DatasetVersion; only its state changes."""

    __tablename__ = "dataset_version"
    __table_args__ = (
        project_key(),
        same_project("dataset_id", "dataset"),
        UniqueConstraint("project_id", "id"),
        UniqueConstraint("project_id", "id", "digest"),
        UniqueConstraint("dataset_id", "number"),
        UniqueConstraint("dataset_id", "digest", "source"),
        *is_digest("digest"),
        one_of("state", ("available", "deprecated", "expired", "purged")),
        one_of("source_type", ("file", "s3")),
        CheckConstraint("file_count > 0 AND size_bytes >= 0", "sizes"),
        Index("dataset_version_dataset_ix", "dataset_id", "id"),
        Index(
            "dataset_version_retention_ix", "project_id", "created_at", "id", postgresql_where=text("state <> 'purged'")
        ),
    )

    id: Mapped[Id]
    project_id: Mapped[UUID]
    dataset_id: Mapped[UUID]
    number: Mapped[int] = mapped_column(Integer)
    source: Mapped[str]
    source_type: Mapped[str]
    digest: Mapped[Bytes]
    file_count: Mapped[int] = mapped_column(Integer)
    size_bytes: Mapped[int] = mapped_column(BIGINT)
    schema_ref: Mapped[str | None]
    statistics_ref: Mapped[str | None]
    description: Mapped[str]
    state: Mapped[str]
    created_by: Mapped[str]
    created_at: Mapped[CreatedAt]


class DatasetFileRow(Table):
    """One file of a DatasetVersion."""

    __tablename__ = "dataset_file"
    __table_args__ = (
        same_project("dataset_version_id", "dataset_version"),
        *is_digest("digest"),
        CheckConstraint("size_bytes >= 0", "size_bytes"),
    )

    dataset_version_id: Mapped[UUID] = mapped_column(primary_key=True)
    path: Mapped[str] = mapped_column(primary_key=True)
    project_id: Mapped[UUID]
    digest: Mapped[Bytes]
    size_bytes: Mapped[int] = mapped_column(BIGINT)
    version_id: Mapped[str | None]
