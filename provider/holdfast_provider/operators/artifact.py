"""Registers what was made elsewhere as an Artifact."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from holdfast_provider.operators.run import RunningOperator, references_of
from holdfast_provider.operators.task import HoldfastOperator, key_of_try

if TYPE_CHECKING:
    from holdfast.ports import Governance
    from holdfast.wire.run import Run

_COPY = 'cp -R "$HOLDFAST_INPUTS/source/." "$HOLDFAST_OUTPUTS/$0"'


class RegisterArtifactOperator(RunningOperator):
    """Registers a file or a directory that no Run made (a model from a supplier, a signed report) as an Artifact.

    An Artifact is always a Run's, so this one is, too: the source is registered as a DatasetVersion, and a Run whose only input that is
    copies it into the object store. Where it came from, what was in it and who brought it are on record as for any other Artifact.

    Returns a reference for `inputs` or `evidence`: `{"artifact": id, "digest": …}`, for a directory a list of these.

    Args:
        name: name of the Artifact, and of the Dataset that its source becomes a version of: a-z, 0-9 and `_`.
        source: URI of a file; with a slash at the end, of a directory.
        environment: name of the EnvironmentLock of the Run that copies.
    """

    template_fields: Sequence[str] = (*HoldfastOperator.template_fields, "name", "source", "environment")

    def __init__(self, *, name: str, source: str, environment: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.name = name
        self.source = source
        self.environment = environment

    def execute(self, context: Any) -> Any:
        """Register the Artifact and return its reference."""
        from holdfast.core.errors import InvalidRequest
        from holdfast.core.sources import SCHEME
        from holdfast.dataplane.survey import survey
        from holdfast_provider._errors import task_errors
        from holdfast_provider.binding import bind

        hook = self.hook()
        with task_errors(), hook.get_conn() as governance:
            project = hook.project(self.project)
            # An address in S3 is taken letter by letter.
            plain = self.source if self.source.startswith(SCHEME) else unquote(self.source)
            is_directory, path = self.source.endswith("/"), plain.rpartition("/")[2]
            request = survey(governance.datasets, project, self.source, hook.data_roots)
            if not is_directory and [file.path for file in request.files] != [path]:
                raise InvalidRequest(f"source {self.source!r} is a directory", remedy="Write a slash at its end")
            version = governance.datasets.register(project, self.name, request, key=key_of_try(context))
            bound = bind(
                context,
                governance,
                project,
                retries=self.retries or 0,
                inputs={"source": {"dataset_version": str(version.id), "digest": version.digest}},
                environment=self.environment,
                command=["sh", "-c", _COPY, "files" if is_directory else "."],
                outputs={self.name: "files/" if is_directory else path},
            )
            return self.execute_run(context, hook, governance, project, bound)

    def present(self, context: Any, governance: "Governance", project: str, run: "Run") -> Any:
        """Return the reference."""
        del context
        return references_of(governance, project, run)[self.name]
