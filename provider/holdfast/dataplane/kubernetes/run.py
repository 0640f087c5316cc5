"""One Run on a cluster: begun by one process, waited for by another, ended by a third, as they come and go."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

from holdfast.core.errors import StateConflict, Unavailable
from holdfast.core.run import ErrorClass, RunState, is_terminal
from holdfast.dataplane.kubernetes.cluster import Cluster, Pod
from holdfast.dataplane.kubernetes.execution import PodExecution
from holdfast.dataplane.kubernetes.manifest import USER, PodSettings, deadline_s, pod_name
from holdfast.dataplane.kubernetes.status import (
    Broken,
    Ended,
    Progress,
    Running,
    Stageable,
    Waiting,
    has_run,
    is_staged,
    kept_until,
    not_started,
    observe,
    progress_of,
    takes_room,
    uid_of,
)
from holdfast.dataplane.plane import CodeSource, Collected, StepCanceled, StepFailed
from holdfast.dataplane.record import RunRecord
from holdfast.ports import Governance
from holdfast.wire.run import Grants, Observed, Run

Result = TypeVar("Result")
START_TIMEOUT_S = 600
POINTS = ("pod.created", "run.started", "run.staged", "outputs.collected", "outputs.stored", "run.finished")
"""Between what is done outside and what stands on record: where a process may be gone at any time, and nothing is lost."""
AT_HAND_S = 20.0
"""How long a process waits for a pod's agent by itself; what takes longer is waited for elsewhere."""
BRIEF_S = 15.0
"""How long it waits for a command that may be short: to be waited for elsewhere, and to be come back to, costs a second process and,
on a machine that has work to do, about as long as that."""
SETTLE_S = 2.0
"""How long a pod is given to say what is known already: that its command has ended, or, where its Run has failed, to end by itself."""
_LEAVE_S = 60.0
"""How long before a pod gives up what it keeps its outputs are given up, so that the Run ends with their own cause."""


class PodRun:
    """Brings a Run that has been created to its end, from wherever it is.

    Args:
        governance: the record.
        project: the Project's name.
        run: the Run.
        cluster: where its pod is.
        settings: the Project's namespace and the agent's image.
        log: the task's log.
        dress: gives a pod what the site gives every pod.
        output: told what the command has said, when it has ended while the process that began it still waited.
        brief_s: how long that process waits.
        as_ending: what an exception of the caller's own world means to a Run.
        probe: called at the named points; tests inject faults by it.
        try_number: of the try that brings it further.
    """

    def __init__(
        self,
        governance: Governance,
        project: str,
        run: Run,
        cluster: Cluster,
        settings: PodSettings,
        log: Callable[[str], None],
        *,
        dress: Callable[[Pod], Pod] = lambda pod: pod,
        output: Callable[[str], None] = lambda _: None,
        brief_s: float = 0,
        as_ending: Callable[[BaseException], BaseException] = lambda error: error,
        probe: Callable[[str], None] = lambda _: None,
        try_number: int | None = None,
    ) -> None:
        self._governance, self._project, self._log = governance, project, log
        self._try_number = try_number or run.try_number
        self._record = RunRecord(governance, project, run, log)
        self._cluster, self._settings, self._dress = cluster, settings, dress
        self._as_ending, self._probe = as_ending, probe
        self._output, self._brief_s = output, brief_s
        self.at_hand_s = AT_HAND_S
        self._pod: Pod | None = None

    @property
    def namespace(self) -> str:
        """Where the pod is."""
        return self._settings.namespace

    def begin(self, code: CodeSource) -> tuple[Progress, bool]:
        """Make the Run's pod, lay the Run out in it, and return how far it is, and whether it is laid out.

        Raises:
            StepFailed: the Run has failed.
            StateConflict: another execution holds the Run; nothing of this one has run.
        """
        return self._recorded(lambda: self._begin(code))

    def end(self) -> Run:
        """Store what the Run has made, end it, and return it, succeeded.

        Raises:
            StepFailed: the Run has failed.
            Unavailable: something that this needs does not answer. The Run is open, and its pod keeps what it has made.
        """
        return self._recorded(self._end)

    @property
    def is_kept(self) -> bool:
        """Whether what the command has made can still be stored from its pod, by whoever comes later."""
        if self._pod is None or not isinstance(progress_of(self._pod), Ended):
            return False
        return (kept_until(self._pod) - datetime.now(UTC)).total_seconds() > _LEAVE_S

    def progress(self, settle_s: float = 0) -> Progress:
        """Return how far the Run is; a failed one is recorded as such and raised as StepFailed.

        Args:
            settle_s: how long the cluster is given to say that the command has ended, where there was a hint that it has.
        """
        return self._recorded(lambda: self._look(settle_s))

    def cancel(self) -> None:
        """End the user's command by removing the Run's pod, and record the Run as canceled; nothing, where a later try goes on with it."""
        if self._record.is_taken_from(self._try_number):
            self._log(f"Run {self._record.run.id} is left to the later try that goes on with it")
            return
        self._give_up(StepCanceled("the Run was canceled: its task was marked or cleared, or its worker shut down"))

    def expire(self) -> None:
        """End a Run that ran longer than it may, or whose pod did not start in time; raises that as StepFailed."""
        execution = self._execution()
        pod = execution.find_pod()
        if pod is None:
            failure = execution.gone()
        elif isinstance(progress_of(pod), Running):
            cause = f"the command ran longer than its deadline of {deadline_s(self._record.run)} s"
            failure = StepFailed(ErrorClass.ENVIRONMENT, cause, "Give it more by execution_timeout")
        else:
            failure = not_started(pod, START_TIMEOUT_S)
        self._give_up(failure)
        raise failure

    def _give_up(self, ending: BaseException) -> None:
        """Remove the Run's pod, so that nothing of it runs any more, and then record the end.

        Where the record does not answer, nothing is removed: what the pod holds is not lost, and somebody comes back to it. A Run whose
        task was marked may be canceled on record already, while its pod goes on.
        """
        state = self._governance.runs.get(self._project, self._record.run.id).state
        if is_terminal(state) and state is not RunState.CANCELED:
            return
        pod = self._pod or self._cluster.find_pod(self._settings.namespace, pod_name(self._record.run))
        if pod is not None:
            self._cluster.delete_pod(self._settings.namespace, pod_name(self._record.run), uid_of(pod))
        if not is_terminal(state):
            self._record.fail(ending, self._fence(), self._observed())

    def _begin(self, code: CodeSource) -> tuple[Progress, bool]:
        with self._execution() as execution:
            # Once a fence is on record, its pod is the only one that there will ever be.
            self._pod = execution.find_pod() if self._record.run.fence else execution.ensure_pod()
            if self._pod is None:
                raise execution.gone()
            self._probe("pod.created")
            if isinstance(progress_of(self._pod), Waiting | Stageable):
                execution.prepare(code)
            self._pod, progress = execution.wait(lambda found: not isinstance(found, Waiting), self.at_hand_s)
            if isinstance(progress, Stageable):
                self._record.start(uid_of(self._pod))
                self._probe("run.started")
                self._stage(execution, code)
                self._probe("run.staged")
                return self._wait_briefly(execution), True
            return self._checked(progress), is_staged(self._pod)

    def _wait_briefly(self, execution: PodExecution) -> Progress:
        if not self._brief_s:
            return Waiting("the command starts")
        self._pod, progress = execution.wait(lambda found: isinstance(found, Ended), self._brief_s)
        if isinstance(progress, Ended | Broken):
            try:
                for line in self._cluster.log(self._settings.namespace, pod_name(self._record.run), USER):
                    self._output(line)
            except (Unavailable, StepFailed) as error:
                self._log(f"what the command has said cannot be read: {error}")
        return self._checked(progress)

    def _stage(self, execution: PodExecution, code: CodeSource) -> None:
        try:
            execution.stage(code, self._governance.runs.stage(self._project, self._record.run.id))
        except Unavailable:
            # Somebody else may have been quicker, and the agent has gone home.
            self._pod = execution.find_pod()
            if self._pod is None:
                raise execution.gone() from None
            if not is_staged(self._pod):
                self._checked(progress_of(self._pod))
                raise

    def _look(self, settle_s: float = 0) -> Progress:
        execution = self._execution()
        self._pod = execution.find_pod()
        if self._pod is None:
            raise execution.gone()
        progress = progress_of(self._pod)
        if settle_s and isinstance(progress, Running):
            self._pod, progress = execution.wait(lambda found: not isinstance(found, Running), settle_s)
        return self._checked(progress)

    def _end(self) -> Run:
        progress = self._look()
        if not isinstance(progress, Ended) or self._pod is None:
            raise StateConflict(f"the pod of Run {self._record.run.id} has not ended", remedy="Wait for it")
        with self._execution() as execution:
            outputs = _Probed(execution, self._probe)
            try:
                run = self._record.succeed(uid_of(self._pod), 0, outputs, self._observed())
            except StepFailed as failure:
                # The command has ended well and is not to run again: while its pod keeps what it has made, that can still be stored.
                if failure.error_class is not ErrorClass.PLATFORM or not self.is_kept:
                    raise
                until = f"{kept_until(self._pod):%Y-%m-%dT%H:%M:%SZ}"
                raise Unavailable(str(failure), remedy=f"Its pod keeps what was made until {until}") from None
            self._probe("run.finished")
            try:
                execution.release()
            except (Unavailable, StepFailed) as error:
                # The Run has ended: that its pod is gone already, or does not answer, changes nothing about it any more.
                self._log(f"the pod is left for the reconciler to remove: {error}")
        return run

    def _checked(self, progress: Progress) -> Progress:
        if isinstance(progress, Broken):
            raise progress.failure
        return progress

    def _execution(self) -> PodExecution:
        return PodExecution(self._record.run, self._cluster, self._settings, self._dress)

    def _observed(self) -> Observed | None:
        return observe(self._pod) if self._pod else None

    def _recorded(self, step: Callable[[], Result]) -> Result:
        """Do a step; where it fails for good, the Run has failed."""
        self._record.check_open()
        try:
            return step()
        except (StateConflict, Unavailable):
            # Not how the Run ended: somebody comes back to it, the next try or the reconciler.
            raise
        except StepFailed as error:
            self._record.fail(error, self._fence(), self._observed())
            self._make_room()
            raise
        except BaseException as error:
            self._give_up(self._as_ending(error))
            raise

    def _make_room(self) -> None:
        """End the pod of a Run that has failed: it would keep its part of the quota, and wait for an order that will not come.

        Where the command has run, its agent is let go, and the pod stays to be looked at until the reconciler removes it. One that
        cannot start any more is removed. One that is not the Run's is left: the reconciler puts it on record before it touches it.
        """
        if self._pod is None or not is_terminal(self._record.run.state):
            return
        try:
            with self._execution() as execution:
                pod, _ = execution.wait(lambda found: isinstance(found, Ended), SETTLE_S)
                if not takes_room(pod) or execution.find_pod() is None:
                    return
                if has_run(pod):
                    execution.release()
                else:
                    self._cluster.delete_pod(self._settings.namespace, pod_name(self._record.run), uid_of(pod))
        except (Unavailable, StepFailed) as error:
            self._log(f"the pod is left for the reconciler to remove: {error}")

    def _fence(self) -> str | None:
        return self._record.run.fence or (uid_of(self._pod) if self._pod else None)


class _Probed:
    """An execution's outputs, with the named points between."""

    def __init__(self, execution: PodExecution, probe: Callable[[str], None]) -> None:
        self._execution, self._probe = execution, probe

    def collect(self) -> Collected:
        collected = self._execution.collect()
        self._probe("outputs.collected")
        return collected

    def publish(self, grants: Grants) -> dict[str, str]:
        versions = self._execution.publish(grants)
        self._probe("outputs.stored")
        return versions
