"""The metadata and the column types that every table uses."""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from sqlalchemy import CheckConstraint, DateTime, ForeignKeyConstraint, LargeBinary, MetaData, Text, func, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import DeclarativeBase, mapped_column

SCHEMA = "holdfast"

Id = Annotated[UUID, mapped_column(primary_key=True)]
ProjectId = Annotated[UUID, mapped_column()]
Bytes = Annotated[bytes, mapped_column(LargeBinary)]
CreatedAt = Annotated[datetime, mapped_column(DateTime(timezone=True), server_default=func.now())]
Moment = Annotated[datetime, mapped_column(DateTime(timezone=True))]
Document = Annotated[dict[str, Any], mapped_column(JSONB)]
EmptyDocument = Annotated[dict[str, Any], mapped_column(JSONB, server_default=text("'{}'::jsonb"))]
TextList = Annotated[list[str], mapped_column(ARRAY(Text))]


class Table(DeclarativeBase):
    """The base of all tables; every constraint has a name."""

    metadata = MetaData(
        schema=SCHEMA,
        naming_convention={
            "pk": "%(table_name)s_pk",
            "uq": "%(table_name)s_%(column_0_N_name)s_uq",
            "ck": "%(table_name)s_%(constraint_name)s_ck",
            "fk": "%(table_name)s_%(column_0_N_name)s_fk",
            "ix": "%(table_name)s_%(column_0_N_name)s_ix",
        },
    )
    type_annotation_map = {str: Text}


def project_key() -> ForeignKeyConstraint:
    """Return the reference of a row to its Project."""
    return ForeignKeyConstraint(["project_id"], [f"{SCHEMA}.project.id"])


def same_project(column: str, table: str) -> ForeignKeyConstraint:
    """Return a reference that cannot leave the Project: (project_id, column) → table (project_id, id)."""
    return ForeignKeyConstraint(["project_id", column], [f"{SCHEMA}.{table}.project_id", f"{SCHEMA}.{table}.id"])


def is_digest(*columns: str) -> tuple[CheckConstraint, ...]:
    """Return the length checks of SHA-256 columns."""
    return tuple(CheckConstraint(f"octet_length({column}) = 32", column) for column in columns)


def one_of(column: str, values: Iterable[str]) -> CheckConstraint:
    """Return the check that a column holds one of a closed set."""
    return CheckConstraint(f"{column} IN ({', '.join(repr(str(value)) for value in values)})", column)
