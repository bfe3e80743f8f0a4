"""Faults of a Ray cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import pytest

from envs_tests.faults.harness import Fault, Refused, Same, Scene
from n2n_gym.evaluators.ray import RayEvaluator

SMALLEST = 80 * 2**20
"""Bytes of an object store: Ray takes no less than 75 MiB."""


@contextmanager
def _cluster(scene: Scene, **head: Any) -> Iterator[Any]:
    """A cluster on this machine, by which the run's students are trained."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"include_dashboard": False, **head})
    try:
        cluster.wait_for_nodes()
        scene.changed["workers"] = f"ray:{cluster.address}"
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()
        scene.changed = {}


@contextmanager
def _node_lost(scene: Scene) -> Iterator[None]:
    """The only node with a core is lost while it trains a student; another one joins."""
    with _cluster(scene, num_cpus=0) as cluster:
        node = cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        answer, lost = RayEvaluator._evaluation, []

        def answering(evaluator: RayEvaluator, *arguments: Any) -> Any:
            """With the first answer of two, the next student is being trained."""
            if not lost:
                lost.append(node)
                cluster.remove_node(node, allow_graceful=False)
                cluster.add_node(num_cpus=1)
            return answer(evaluator, *arguments)

        scene.monkeypatch.setattr(RayEvaluator, "_evaluation", answering)
        yield
        assert lost


@contextmanager
def _store_full(scene: Scene, **disk: Any) -> Iterator[None]:
    """Others fill the object store with what is in use."""
    import ray

    with _cluster(scene, num_cpus=1, object_store_memory=SMALLEST, _system_config=disk) as cluster:
        ray.init(cluster.address)
        left, held = SMALLEST, []
        for piece in (2**22, 2**18, 2**14):
            count = left // piece - 1
            left -= count * piece
            held += [ray.get(ray.put(np.zeros(piece, np.uint8))) for _ in range(count)]
        yield


FAULTS = [
    Fault("a node of the cluster is lost", "its student is trained again by another node", _node_lost, Same(), slow=True),
    Fault("Ray's object store is full", "Ray goes on on the disk", _store_full, Same(), slow=True),
    Fault(
        "Ray's object store is full, and the disk, too",
        "one line; with more memory, or without Ray, the run goes on",
        partial(_store_full, local_fs_capacity_threshold=0.0),
        Refused("Ray's object store is full.*ray start --object-store-memory", mend=lambda _scene: None),
        slow=True,
    ),
]
