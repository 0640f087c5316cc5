"""The locks of legal holds in the object store: every ten minutes those that are wanted, every night all of them, each read back.

An airflow dag of both; see docs/how-to/legal-hold.md.
"""

from holdfast_provider.maintenance import S3, directory, maintenance

PLACE = directory("hold")
ENVIRONMENT = {"HOLDFAST_DATABASE_URL_FILE": f"{PLACE}/url", "AWS_CONFIG_FILE": f"{PLACE}/aws", **S3}
COMMAND = ["hold", "reconcile"]

wanted = maintenance("holdfast_hold_reconcile", "*/10 * * * *", "reconcile", COMMAND, ENVIRONMENT)
each = maintenance("holdfast_hold_read_back", "7 1 * * *", "reconcile", [*COMMAND, "--read-back"], ENVIRONMENT)
