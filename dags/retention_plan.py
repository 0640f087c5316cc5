"""Every night: for each Project that is named, a plan of what may go, for a Security Officer to decide on. See docs/how-to/retention-plans.md."""

from airflow.sdk import Variable, task

from holdfast_provider.maintenance import maintenance_dag
from holdfast_provider.operators import HoldfastCommandOperator

with maintenance_dag("holdfast_retention_plan", "57 2 * * *") as dag:

    @task
    def projects() -> list[dict[str, str]]:
        """Return the environment of each Project's command; the variable `holdfast_retention_projects` is a list of their names.

        A directory on the machine of the worker, or a mounted Secret, has a token of each Project, in a file of its name.
        """
        names = Variable.get("holdfast_retention_projects", default=[], deserialize_json=True)
        place = Variable.get("holdfast_retention_directory", default="/etc/holdfast/retention")
        return [
            {
                "HOLDFAST_API_URL": Variable.get("holdfast_api_url"),
                "HOLDFAST_PROJECT": name,
                "HOLDFAST_TOKEN_FILE": f"{place}/{name}",
            }
            for name in names
        ]

    HoldfastCommandOperator.partial(
        task_id="plan", arguments=["retention", "plan", "make", "--if-needed", "--reason", "of the day"]
    ).expand(environment=projects())
