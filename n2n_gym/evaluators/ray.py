"""Students as tasks of a Ray cluster: one machine's cores, or those of many."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import uuid4
from weakref import WeakSet

from n2n_gym.errors import InputError
from n2n_gym.evaluation import OUT_OF_MEMORY, WORKER_DIED, Evaluation
from n2n_gym.evaluators.contract import WrappingEvaluator, dearest_first
from n2n_gym.evaluators.distillation import DistillationEvaluator
from n2n_gym.student import Student
from n2n_gym.system.machine import cores
from n2n_gym.system.memory import keep_freed_memory
from n2n_gym.system.offered import load_plugins
from n2n_gym.system.pool import RETRIES
from n2n_gym.system.versions import library_versions

if TYPE_CHECKING:
    from n2n_gym.teachers.saved import Teacher
    from n2n_gym.training.images import ImageData


@dataclass(frozen=True)
class _Shipment:
    """Everything that a machine without our files needs to train students."""

    evaluator: DistillationEvaluator
    teacher: Teacher
    data: ImageData
    bf16: bool
    versions: dict[str, str]


class RayEvaluator(WrappingEvaluator):
    """Hands students to a Ray cluster, the dearest first, and yields evaluations as they are done.

    Teacher and images go to the cluster's object store, from which each node takes one copy; its processes keep what they
    unpacked. Ray tries a student again when its worker or node is lost; one that is lost again and again is recorded as
    failed. Needs `pip install 'n2n-gym[ray]'`, on every machine of a cluster that is joined.

    Args:
        inner: What trains a student.
        address: Of a cluster that is running, such as `10.0.0.1:6379`, or `auto` for this machine's; by default one is
            started on this machine's cores, unless `RAY_ADDRESS` names one or this process is connected already.
        cpus: Cores that one student takes.
        gpus: Share of a GPU that one student takes, where students are trained on GPUs.

    Raises:
        InputError: If Ray is not installed, or there is no cluster at the address.
    """

    inner: DistillationEvaluator
    _users: ClassVar[WeakSet[RayEvaluator]] = WeakSet()  # the evaluators of this process that use its connection
    _started: ClassVar[bool] = False  # whether the connection was made here

    def __init__(
        self, inner: DistillationEvaluator, address: str | None = None, *, cpus: float = 1.0, gpus: float = 0.25
    ) -> None:
        self.inner = inner
        self.address = address
        self._ray = _ray()
        self._cpus = cpus
        self._gpus = gpus
        self._task: Any = None
        self._shipped: tuple[str, Any] | None = None

    @property
    def epochs(self) -> int:  # a training that was stopped lies on the machine that trained it
        return 0

    def __getstate__(self) -> dict[str, Any]:  # a copy connects itself
        return {**self.__dict__, "_ray": None, "_task": None, "_shipped": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _ray=_ray())

    def stream(self, students: Sequence[Student]) -> Iterator[tuple[int, Evaluation]]:
        train = self._connected()
        key, shipment = self._ship()
        tasks = {train.remote(key, [shipment], students[i]): i for i in dearest_first(students)}
        waiting = list(tasks)
        try:
            while waiting:
                [done], waiting = self._ray.wait(waiting)
                yield tasks[done], self._evaluation(done, students[tasks[done]])
        finally:
            for task in waiting:  # whoever stops listening wants no more of them
                self._ray.cancel(task, force=True)

    def close(self) -> None:
        self._shipped = self._task = None
        self._users.discard(self)
        if RayEvaluator._started and not self._users:
            self._ray.shutdown()
            RayEvaluator._started = False
        super().close()

    def _evaluation(self, task: Any, student: Student) -> Evaluation:
        errors = self._ray.exceptions
        try:
            evaluation: Evaluation = self._ray.get(task)
        except errors.RayTaskError as error:
            if isinstance(error.cause, InputError):
                raise error.cause from None
            if isinstance(error.cause, self._full):  # a node's, where teacher and images do not fit
                raise _no_room(error.cause) from None
            raise  # a fault of the program
        except errors.OutOfMemoryError:
            return Evaluation.failed(student.architecture, self.teacher, OUT_OF_MEMORY)
        except errors.RayError:
            return Evaluation.failed(student.architecture, self.teacher, WORKER_DIED)
        return evaluation

    def _connected(self) -> Any:
        """The remote function that trains a student, on a cluster that is started or joined first."""
        if not self._ray.is_initialized():
            address = self.address or os.environ.get("RAY_ADDRESS")
            num_cpus = None if address else cores()
            self._shipped = None  # what was in another cluster's store is gone
            try:
                _knock(address)
                # "local": not the cluster that may be running on this machine
                dashboard = None if address else False
                self._ray.init(address or "local", num_cpus=num_cpus, include_dashboard=dashboard)
            except (OSError, ValueError) as error:
                reason = f"there is no Ray cluster at {address} ({_line(error)})"
                raise InputError(f"{reason}; start one: ray start --head") from None
            except Exception as error:  # a bare one, where its processes do not come up in time
                remedy = "is the machine too busy? The same command goes on, also with other --workers"
                raise InputError(f"Ray does not start ({_line(error)}); {remedy}") from None
            RayEvaluator._started = True
        elif self.address is not None and self._task is None:  # at this evaluator's first students, not at each batch
            self._check_joined(self.address)
        self._users.add(self)
        if self._task is None:
            gpus = self._gpus if self.context()["device"] == "cuda" else 0
            self._task = self._ray.remote(num_cpus=self._cpus, num_gpus=gpus, max_retries=RETRIES)(_train)
        return self._task

    def _check_joined(self, address: str) -> None:
        """Refuse to be on another cluster than is asked for: a process can be on one only."""
        joined = self._ray.get_runtime_context().gcs_address
        host, _, port = address.rpartition(":")
        if "//" in address or not host:
            return  # `auto`, or a client's address, which the cluster does not know
        if (socket.gethostbyname(host), port) != (socket.gethostbyname(joined.rpartition(":")[0]), joined.rpartition(":")[2]):
            raise InputError(f"this process is on the Ray cluster at {joined} already, so it cannot be on {address}, too")

    def _ship(self) -> tuple[str, Any]:
        """Put teacher and images where the cluster's nodes find them; once."""
        if self._shipped is None:
            inner = self.inner
            if inner.thorough:
                _ = inner.data.dataset.test  # read here: the nodes have no files
            device = self.context()["device"]  # what `auto` is here, whatever it would be there
            evaluator = replace(inner, device=device)
            shipment = _Shipment(evaluator, inner.trained_teacher, inner.data, inner.bf16, library_versions())
            try:
                self._shipped = uuid4().hex, self._ray.put(shipment)
            except self._full as error:
                raise _no_room(error) from None
        return self._shipped

    @property
    def _full(self) -> tuple[type[Exception], ...]:
        return self._ray.exceptions.ObjectStoreFullError, self._ray.exceptions.OutOfDiskError


def _ray() -> Any:
    try:
        import ray
    except ImportError:
        raise InputError("these workers need Ray: pip install 'n2n-gym[ray]'") from None
    return ray


def _line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _no_room(error: Exception) -> InputError:
    return InputError(
        f"Ray's object store is full, and the disk that it then uses, too ({_line(error)}): make room there, or "
        "give it more memory (ray start --object-store-memory BYTES); what was done is kept, and the same command goes on"
    )


def _knock(address: str | None) -> None:
    """Raise OSError at once where nobody listens: Ray itself would try for minutes."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if host:
        socket.create_connection((host, int(port)), timeout=10).close()


_unpacked: dict[str, DistillationEvaluator] = {}  # in a worker process: the last shipment


def _train(key: str, shipment: list[Any], student: Student) -> Evaluation:
    """Train one student in a worker process; the shipment comes in a list so that Ray does not unpack it each time."""
    import ray

    if key not in _unpacked:
        keep_freed_memory()
        load_plugins()
        shipped: _Shipment = ray.get(shipment[0])
        if shipped.versions != library_versions():
            raise InputError(f"a node of the Ray cluster has {library_versions()}, this machine {shipped.versions}")
        _unpacked.clear()
        _unpacked[key] = shipped.evaluator.equipped(shipped.teacher, shipped.data, bf16=shipped.bf16)
    [evaluation] = _unpacked[key].evaluate([student])
    return evaluation
