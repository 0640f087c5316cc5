"""Every night: whether the object store keeps its locks; fails where it does not, and its log names the rules. See docs/how-to/probe-the-store.md.

An airflow dag.
"""

from holdfast_provider.maintenance import S3, directory, maintenance

PLACE = directory("probe")
dag = maintenance(
    "holdfast_store_probe",
    "47 1 * * *",
    "probe",
    ["store", "probe"],
    {"HOLDFAST_DATABASE_URL_FILE": f"{PLACE}/url", "AWS_CONFIG_FILE": f"{PLACE}/aws", **S3},
)
