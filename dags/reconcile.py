"""Every five minutes: pods without a Run, Runs without a pod, and those that nobody has ended. See docs/how-to/reconcile.md."""

from airflow.sdk.configuration import conf

from holdfast_provider.maintenance import directory, maintenance

PLACE = directory("reconcile")
dag = maintenance(
    "holdfast_reconcile",
    "*/5 * * * *",
    "apply",
    ["reconcile", "apply"],
    {
        "HOLDFAST_API_URL": "{{ var.value.holdfast_api_url }}",
        "HOLDFAST_AGENT_IMAGE": conf.get("holdfast", "agent_image", fallback=""),
        "HOLDFAST_TOKEN_FILE": f"{PLACE}/token",
        "KUBECONFIG": f"{PLACE}/kubeconfig",
    },
)
