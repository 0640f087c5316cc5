"""What Airflow asks a provider about itself."""

from typing import Any


def get_provider_info() -> dict[str, Any]:
    """Return the provider's description; called in every Airflow process, so it imports nothing."""
    return {
        "package-name": "holdfast",
        "name": "Holdfast",
        "description": "Runs, Artifacts and Model promotion under audit.",
        "integrations": [{"integration-name": "Holdfast", "external-doc-url": "", "tags": ["software"]}],
        "hooks": [{"integration-name": "Holdfast", "python-modules": ["holdfast_provider.hooks.holdfast"]}],
        "operators": [{"integration-name": "Holdfast", "python-modules": ["holdfast_provider.operators"]}],
        "sensors": [{"integration-name": "Holdfast", "python-modules": ["holdfast_provider.sensors"]}],
        "triggers": [
            {
                "integration-name": "Holdfast",
                "python-modules": ["holdfast_provider.triggers.promotion", "holdfast_provider.triggers.run"],
            }
        ],
        "notifications": ["holdfast_provider.notifications.pipeline_run.PipelineRunNotifier"],
        "connection-types": [
            {
                "hook-class-name": "holdfast_provider.hooks.holdfast.HoldfastHook",
                "hook-name": "Holdfast",
                "connection-type": "holdfast",
                "ui-field-behaviour": {
                    "hidden-fields": ["schema", "login", "port"],
                    "relabeling": {"host": "API URL", "password": "Service token"},
                    "placeholders": {"host": "https://airflow.example/holdfast/api/v1", "password": "hft_…"},
                },
                "conn-fields": {
                    "project": {
                        "label": "Project",
                        "description": "Used by tasks that name none",
                        "schema": {"type": ["string", "null"], "default": None},
                    },
                    "data_roots": {
                        "label": "Data roots",
                        "description": "Directories, separated by ':', below which the local data plane may read; none means nothing",
                        "schema": {"type": ["string", "null"], "default": None},
                    },
                },
            }
        ],
        "config": {
            "holdfast": {
                "description": "What Airflow's processes must know about Holdfast without asking the API.",
                "options": {
                    "agent_image": {
                        "description": "Image of the agent that lays out Runs in their pods, by digest; for Projects on the Kubernetes data plane.",
                        "type": "string",
                        "version_added": "0.1.0",
                        "example": "registry.example/holdfast-agent@sha256:…",
                        "default": "",
                    },
                    "production_projects": {
                        "description": "Projects of class production, separated by commas; their Dags are checked at parse time, where every task then has to name its Project.",
                        "type": "string",
                        "version_added": "0.1.0",
                        "example": "oncology,credit-risk",
                        "default": "",
                    },
                },
            }
        },
    }
