"""Registers a DatasetVersion."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from holdfast_provider.operators.task import HoldfastOperator, key_of_try

if TYPE_CHECKING:
    from holdfast.ports import Governance
    from holdfast.wire.dataset import DatasetVersion
    from holdfast_provider.hooks.holdfast import HoldfastHook


class RegisterDatasetVersionOperator(HoldfastOperator):
    """Registers every file of a source, with digest and size, as a DatasetVersion; unchanged files are the version there is already.

    Returns a reference for a Run's inputs: `{"dataset_version": id, "digest": …}`.

    Args:
        dataset: the Dataset's name.
        source: URI of a file or a directory: `file:///srv/landing/tumours`, read where this task runs; or `s3://bucket/key` for one object,
            `s3://bucket/prefix/` for all below, where the installation lets the Project read that.
    """

    template_fields: Sequence[str] = (*HoldfastOperator.template_fields, "dataset", "source")

    def __init__(self, *, dataset: str, source: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dataset = dataset
        self.source = source

    def execute(self, context: Any) -> dict[str, Any]:
        """Register the DatasetVersion and return its reference."""
        from holdfast_provider._errors import task_errors

        hook = self.hook()
        with task_errors(), hook.get_conn() as governance:
            project = hook.project(self.project)
            version = register_source(hook, governance, project, self.dataset, self.source, key_of_try(context))
            self.log.info(
                "DatasetVersion %s/%d: %d files, %d bytes, %s",
                self.dataset,
                version.number,
                version.file_count,
                version.size_bytes,
                version.digest,
            )
            return {"dataset_version": str(version.id), "digest": version.digest}


def register_source(
    hook: "HoldfastHook", governance: "Governance", project: str, dataset: str, source: str, key: str
) -> "DatasetVersion":
    """Register what a source holds now as a version of a Dataset; raises StepFailed where it cannot be read."""
    from holdfast.dataplane.survey import survey

    request = survey(governance.datasets, project, source, hook.data_roots)
    return governance.datasets.register(project, dataset, request, key=key)
