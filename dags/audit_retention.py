"""Every night: segments of the audit trail are closed, sealed and disposed of as their rules say. See docs/how-to/keep-events.md.

An airflow dag.
"""

from holdfast_provider.maintenance import S3, directory, maintenance

PLACE = directory("disposer")
dag = maintenance(
    "holdfast_audit_retention",
    "17 2 * * *",
    "retain",
    ["ledger", "retain"],
    {
        "HOLDFAST_DISPOSER_URL_FILE": f"{PLACE}/url",
        "HOLDFAST_LEDGER_LOG": "{{ var.value.holdfast_ledger_log }}",
        "HOLDFAST_S3_ENDPOINT_URL": S3["HOLDFAST_S3_ENDPOINT_URL"],
        "AWS_CONFIG_FILE": f"{PLACE}/aws",
    },
)
