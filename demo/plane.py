"""Where the demo's Runs are executed, and where what they make is kept: on this machine, or on a cluster."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from demo.state import State
from holdfast.dataplane.interpreter import installed_distributions
from holdfast.wire.project import ProjectRequest
from holdfast.wire.run import EnvironmentRequest

PROJECT = "oncology"


@dataclass(frozen=True)
class Plane:
    """What differs between the places.

    Attributes:
        project: the Project to make.
        environment: what the example's steps run on.
        bring: puts the example's data where it lands, and returns its URI.
        store: where objects are kept, as the service's settings say it.
        service: more of the environment of a process that opens the platform.
        shared: more of the environment of all of Airflow's processes.
        worker: more of the environment of those whose tasks reach the place.
        looking: commands with which somebody looks at it, beside Holdfast's own.
    """

    project: ProjectRequest
    environment: EnvironmentRequest
    bring: Callable[[], str]
    store: Mapping[str, str]
    service: Mapping[str, str] = field(default_factory=dict)
    shared: Mapping[str, str] = field(default_factory=dict)
    worker: Mapping[str, str] = field(default_factory=dict)
    looking: Sequence[str] = ()


def local_plane(state: State) -> Plane:
    """Return this machine: Runs are child processes, objects are files."""
    return Plane(
        ProjectRequest(name=PROJECT, owner="the demo"),
        EnvironmentRequest(
            name="sklearn",
            kind="interpreter",
            reference=sys.executable,
            distributions=installed_distributions(sys.executable),
        ),
        lambda: bring_data(state.root / "landing").as_uri(),
        {"HOLDFAST_OBJECTS_ROOT": str(state.root / "objects")},
    )


def data_file() -> Path:
    """Return the data set that is bundled with scikit-learn."""
    import sklearn.datasets

    return Path(sklearn.datasets.__file__).parent / "data" / "breast_cancer.csv"


def bring_data(landing: Path) -> Path:
    """Copy the data set to where data lands, and return the directory."""
    target, source = landing / "tumours", data_file()
    target.mkdir(exist_ok=True)
    (target / source.name).write_bytes(source.read_bytes())
    return target
