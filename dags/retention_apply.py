"""Every night: retention plans that a Security Officer has approved are carried out, and certified. See docs/how-to/retention-plans.md.

An airflow dag.
"""

from holdfast_provider.maintenance import S3, directory, maintenance

PLACE = directory("disposer")
dag = maintenance(
    "holdfast_retention_apply",
    "37 2 * * *",
    "apply",
    ["retention", "apply"],
    {"HOLDFAST_DISPOSER_URL_FILE": f"{PLACE}/url", "AWS_CONFIG_FILE": f"{PLACE}/aws", **S3},
)
