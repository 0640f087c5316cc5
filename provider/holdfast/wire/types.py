"""The annotated types that every wire model is made of. Each refuses what the core's rules refuse."""

from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from holdfast.core import digest as digests
from holdfast.core import names
from holdfast.core.canonical import check_document
from holdfast.core.errors import InvalidRequest


class Wire(BaseModel):
    """A model that crosses a boundary: frozen, and strict about keys it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _checked(check: Any) -> AfterValidator:
    def validate(value: Any) -> Any:
        try:
            check(value)
        except InvalidRequest as error:
            raise PydanticCustomError("holdfast", "{reason}", {"reason": str(error)}) from None
        return value

    return AfterValidator(validate)


Name = Annotated[str, Field(max_length=63, examples=["oncology"]), _checked(lambda v: names.check_name("", v))]
Namespace = Annotated[str, Field(max_length=63, examples=["oncology"]), _checked(names.check_namespace)]
Digest = Annotated[str, Field(max_length=71, examples=["sha256:" + "0" * 64]), _checked(digests.parse)]
Commit = Annotated[str, Field(max_length=64), _checked(names.check_commit)]
RelativePath = Annotated[str, Field(min_length=1, max_length=1024), _checked(names.check_path)]
OutputName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Outputs = Annotated[dict[OutputName, RelativePath], Field(max_length=1000), _checked(names.check_outputs)]
Text = Annotated[str, Field(max_length=2000), _checked(check_document)]
Uri = Annotated[str, Field(min_length=1, max_length=2000), _checked(check_document)]
Document = Annotated[dict[str, Any], _checked(check_document)]
# Strict: "1", 1.0 and true are not taken for 1, which another reader of the same request might not do.
Whole = Annotated[int, Field(strict=True, le=2**31 - 1)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Size = Annotated[int, Field(strict=True, ge=0, le=2**53 - 1)]
Time = datetime

Item = TypeVar("Item")


class Page(Wire, Generic[Item]):
    """One page of a list.

    Attributes:
        items: in order.
        next: cursor of the next page, None on the last one.
    """

    items: list[Item]
    next: str | None = None
