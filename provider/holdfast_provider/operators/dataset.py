"""Registers a DatasetVersion."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from holdfast_provider.operators.task import HoldfastOperator, key_of_try

if TYPE_CHECKING:
    from holdfast.ports import Governance
    from holdfast.wire.dataset import DatasetVersion, FileEntry
    from holdfast_provider.hooks.holdfast import HoldfastHook


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
        from holdfast_provider._errors import task_errors

        hook = self.hook()
        with task_errors(), hook.get_conn() as governance:
            project = hook.project(self.project)
            files = survey(hook, self.source)
            version = register_files(governance, project, self.dataset, self.source, files, key_of_try(context))
            self.log.info(
                "DatasetVersion %s/%d: %d files, %d bytes, %s",
                self.dataset,
                version.number,
                version.file_count,
                version.size_bytes,
                version.digest,
            )
            return {"dataset_version": str(version.id), "digest": version.digest}


def survey(hook: "HoldfastHook", source: str) -> "list[FileEntry]":
    """Return every file at a source with digest and size; raises StepFailed where it cannot be read."""
    from holdfast.dataplane.local import LocalDataPlane

    return LocalDataPlane(hook.data_roots).survey(source)


def register_files(
    governance: "Governance", project: str, dataset: str, source: str, files: "list[FileEntry]", key: str
) -> "DatasetVersion":
    """Register the files of a source as a version of a Dataset."""
    from holdfast.wire.dataset import DatasetVersionRequest

    request = DatasetVersionRequest(source=source, source_type="file", files=files)
    return governance.datasets.register(project, dataset, request, key=key)
