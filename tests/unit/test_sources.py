"""Which S3 sources a Project may read: what is listed, letter by letter, whatever tricks an address plays."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from holdfast.core.errors import InvalidRequest, PolicyViolation
from holdfast.core.sources import RULE, S3Location, SourceRules, check_layout
from holdfast.wire.dataset import DatasetVersionRequest

DIGEST = "sha256:" + "0" * 64
RULES = SourceRules.parse(
    "oncology=s3://landing/oncology/, oncology=s3://shared/\n\tcardiology=s3://landing/cardiology/in/"
)
SEGMENT = st.text(st.characters(exclude_characters="/", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=8)
PATH = st.lists(SEGMENT.filter(lambda part: part not in (".", "..")), min_size=1, max_size=4).map("/".join)


@pytest.mark.parametrize(
    ("project", "source"),
    [
        ("oncology", "s3://landing/oncology/"),
        ("oncology", "s3://landing/oncology/2026-11/"),
        ("oncology", "s3://landing/oncology/a.csv"),
        ("oncology", "s3://shared/"),
        ("oncology", "s3://shared/what?ever#there=is%20.csv"),
        ("cardiology", "s3://landing/cardiology/in/x/"),
    ],
)
def test_what_is_listed_may_be_read(project: str, source: str) -> None:
    assert str(RULES.check(project, source)) == source


@pytest.mark.parametrize(
    ("project", "source"),
    [
        ("oncology", "s3://landing/oncology-secret/"),
        ("oncology", "s3://landing/oncology"),
        ("oncology", "s3://landing/"),
        ("oncology", "s3://landing/Oncology/"),
        ("oncology", "s3://landing/%6Fncology/"),
        ("oncology", "s3://landing-2/oncology/"),
        ("oncology", "s3://landing/cardiology/in/"),
        ("oncology", "s3://shared.evil/oncology/"),
        ("cardiology", "s3://landing/cardiology/"),
        ("cardiology", "s3://landing/oncology/"),
        ("nobody", "s3://landing/oncology/"),
    ],
)
def test_what_is_not_listed_is_refused_by_the_rules_name(project: str, source: str) -> None:
    with pytest.raises(PolicyViolation) as refused:
        RULES.check(project, source)
    assert refused.value.details == {"rule": RULE, "version": 1, "changed_by": "platform_owner"}
    assert "HOLDFAST_S3_SOURCES" in refused.value.remedy


@pytest.mark.parametrize(
    "source",
    [
        "s3://landing/oncology/../oncology-secret/",
        "s3://landing/oncology/..",
        "s3://landing/oncology/./a",
        "s3://landing/oncology//a",
        "s3://landing//oncology/",
        "s3://landing/oncology/a\x00b",
        "s3://landing/oncology/a\nb",
        "s3://landing",
        "s3:///oncology/",
        "s3://land ing/oncology/",
        "s3://user@landing/oncology/",
        "s3://landing:80/oncology/",
        "S3://landing/oncology/",
        "https://landing/oncology/",
        "oncology/",
    ],
)
def test_an_address_that_could_be_read_in_two_ways_is_none(source: str) -> None:
    with pytest.raises(InvalidRequest):
        RULES.check("oncology", source)


@pytest.mark.parametrize(
    "text",
    ["oncology=s3://landing/oncology", "oncology", "=s3://landing/", "Oncology=s3://landing/", "oncology=file:///srv/"],
)
def test_a_rule_that_would_let_in_more_than_it_says_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        SourceRules.parse(text)


def test_no_rule_lets_nobody_read_anything() -> None:
    with pytest.raises(PolicyViolation):
        SourceRules.parse("").check("oncology", "s3://landing/oncology/")


@given(prefix=PATH, path=PATH)
def test_a_path_below_a_source_leads_back_to_its_key(prefix: str, path: str) -> None:
    below = S3Location("landing", f"{prefix}/")
    assert below.path_of(below.key_of(path)) == path
    assert below.covers(S3Location("landing", below.key_of(path)))
    one = S3Location("landing", f"{prefix}/{path}")
    assert one.key_of(one.path_of(one.key)) == one.key


def test_a_path_that_leaves_the_source_leads_nowhere() -> None:
    for path in ("../secret", "/a", "a/../../secret", ""):
        with pytest.raises(InvalidRequest):
            S3Location("landing", "oncology/").key_of(path)
    with pytest.raises(InvalidRequest, match="is one object"):
        S3Location("landing", "oncology/a.csv").key_of("b.csv")


def test_a_file_that_is_a_directory_too_cannot_be_laid_out() -> None:
    check_layout(["a", "a-b/c", "b/c", "b/d"])
    with pytest.raises(InvalidRequest, match="'b/c' is a file, and 'b/c/d/e' lies below it"):
        check_layout(["a", "b/c", "b/c/d/e"])


@pytest.mark.parametrize(
    "changes",
    [
        {"source_type": "file"},
        {"source": "file:///landing"},
        {"source": "s3://landing/a/../b/"},
        {"files": [{"path": "a", "digest": DIGEST, "size_bytes": 1}]},
        {"files": [{"path": "../a", "digest": DIGEST, "size_bytes": 1, "version_id": "1"}]},
        {"source": "s3://landing/b"},
        {"files": [{"path": p, "digest": DIGEST, "size_bytes": 1, "version_id": "1"} for p in ("a", "a/b")]},
    ],
)
def test_a_dataset_version_fits_its_source(changes: dict[str, object]) -> None:
    body = {
        "source": "s3://landing/oncology/",
        "source_type": "s3",
        "files": [{"path": "a", "digest": DIGEST, "size_bytes": 1, "version_id": "1"}],
    }
    DatasetVersionRequest.model_validate(body)
    with pytest.raises(ValidationError):
        DatasetVersionRequest.model_validate({**body, **changes})
