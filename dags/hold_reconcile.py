"""Every night: the locks of legal holds in the object store are brought to what the record says, each one read back. See docs/how-to/legal-hold.md.

An airflow dag.
"""

from holdfast_provider.maintenance import S3, directory, maintenance

PLACE = directory("hold")
dag = maintenance(
    "holdfast_hold_reconcile",
    "7 1 * * *",
    "reconcile",
    ["hold", "reconcile", "--read-back"],
    {"HOLDFAST_DATABASE_URL_FILE": f"{PLACE}/url", "AWS_CONFIG_FILE": f"{PLACE}/aws", **S3},
)
