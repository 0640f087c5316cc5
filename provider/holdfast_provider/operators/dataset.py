"""Registers a DatasetVersion."""

from collections.abc import Sequence
from typing import Any

from holdfast_provider.operators.task import HoldfastOperator, key_of_try


class RegisterDatasetVersionOperator(HoldfastOperator):
    """Registers every file of a source, with digest and size, as a DatasetVersion; unchanged files are the version there is already.

    Returns a reference for a Run's inputs: `{"dataset_version": id, "digest": …}`.

    Args:
        dataset: the Dataset's name.
        source: URI of a file or a directory.
    """

    template_fields: Sequence[str] = (*HoldfastOperator.template_fields, "dataset", "source")

    def __init__(self, *, dataset: str, source: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dataset = dataset
        self.source = source

    def execute(self, context: Any) -> dict[str, Any]:
        """Register the DatasetVersion and return its reference."""
        from holdfast.dataplane.local import LocalDataPlane
        from holdfast.wire.dataset import DatasetVersionRequest
        from holdfast_provider._errors import task_errors

        hook = self.hook()
        with task_errors(), hook.get_conn() as governance:
            project = hook.project(self.project)
            files = LocalDataPlane(hook.data_roots).survey(self.source)
            request = DatasetVersionRequest(source=self.source, source_type="file", files=files)
            version = governance.datasets.register(project, self.dataset, request, key=key_of_try(context))
            self.log.info(
                "DatasetVersion %s/%d: %d files, %d bytes, %s",
                self.dataset,
                version.number,
                version.file_count,
                version.size_bytes,
                version.digest,
            )
            return {"dataset_version": str(version.id), "digest": version.digest}
