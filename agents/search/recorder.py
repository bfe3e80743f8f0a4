"""Writes a search down while it goes, so that a killed run goes on from its last policy update."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback

from agents.display import Display
from agents.search.history import Episode, trained, write_history, written
from agents.search.run_folder import RunFolder
from n2n_gym.envs.info import Finished
from n2n_gym.limits import Constraints


class Recorder(BaseCallback):
    """Writes episodes and the agent down after each policy update: first the history, then the agent that learned from it.

    Args:
        folder: The run's.
        history: The run's episodes so far; new ones are appended.
        stage: 1 or 2.
        start: The removals that the stage started from, as the history has them.
        rollouts: Episodes per update.
        save: Writes the agent down.
        display: Shows how the stage goes.
        students: Once the stage has trained so many distinct students, from whatever start, it is over; without, nothing but
            its steps ends it.
        later: Episodes of what comes after, from before the stage began anew: written down behind its own.
    """

    def __init__(
        self,
        folder: RunFolder,
        history: list[Episode],
        *,
        stage: int,
        start: str = "",
        rollouts: int,
        save: Callable[[BaseAlgorithm], None],
        display: Display,
        students: int | None = None,
        later: Sequence[Episode] = (),
    ) -> None:
        super().__init__()
        self._folder = folder
        self._history = history
        self._stage = stage
        self._start = start
        self._rollouts = rollouts
        self._save_agent = save
        self._display = display
        self._students = students
        self._later = later
        by_seconds = sorted(history, key=lambda episode: episode.seconds)
        self._seconds = {episode.fingerprint: episode.seconds for episode in by_seconds}  # of each student's training so far
        of_stage = [episode for episode in history if episode.stage == stage]
        self._episodes = [episode for episode in of_stage if episode.start == start]
        self._earlier = 1 + max((episode.iteration for episode in of_stage if episode.start != start), default=-1)
        self._saved = len(self._episodes)

    def _on_step(self) -> bool:
        if self.locals["dones"].all():
            for finished in self.training_env.get_attr("finished"):
                self._record(finished)
            return not self.over
        return True

    @property
    def over(self) -> bool:
        """Whether as many students were trained as may be."""
        return self._students is not None and self._trained >= self._students

    @property
    def _trained(self) -> int:
        return len(trained(self._history, self._stage))

    def _record(self, finished: Finished) -> None:
        evaluation = finished.evaluation
        fingerprint = finished.student.architecture.fingerprint[:16]
        seconds = self._seconds.get(fingerprint, -1.0)
        trained_here = evaluation.run == self._folder.start.run and evaluation.seconds > seconds
        self._seconds[fingerprint] = max(evaluation.seconds, seconds)
        episode = Episode(
            stage=self._stage,
            iteration=self._earlier + len(self._episodes) // self._rollouts,
            rollout=len(self._episodes) % self._rollouts,
            actions=written(finished.actions),
            fingerprint=fingerprint,
            accuracy=evaluation.accuracy,
            compression=evaluation.compression,
            parameters=evaluation.parameters,
            macs=evaluation.macs,
            reward=finished.reward,
            reason=evaluation.reason,
            excess=Constraints(finished.violated).excess(evaluation),
            seconds=evaluation.seconds,
            from_store=evaluation.seconds > 0 and not trained_here,
            latency_ms=evaluation.latency_ms,
            start=self._start,
            rung=evaluation.rung,
            rung_accuracy=evaluation.rung_accuracy,
        )
        self._episodes.append(episode)
        self._history.append(episode)

    def _on_rollout_start(self) -> None:
        self._save()

    def _on_training_end(self) -> None:
        self._save()

    def _save(self) -> None:
        if len(self._episodes) == self._saved:
            return
        self._saved = len(self._episodes)
        write_history(self._folder.path, [*self._history, *self._later])
        self._save_agent(self.model)
        rewards = [episode.reward for episode in self._episodes]
        mean = fmean(rewards[-self._rollouts :])
        stored = sum(episode.from_store for episode in self._history)
        note = f"best {max(rewards):.3f} mean {mean:.3f} tried {len(self._history)} stored {stored}"
        updates = self._earlier + len(rewards) // self._rollouts
        students = self._trained
        self._log(mean, max(rewards), students, updates)
        self._display.update(updates if self._students is None else students, note)

    def _log(self, mean: float, best: float, students: int, updates: int) -> None:
        """Tell whoever follows the search (`agents.search.trackers`) how it stands, with what the agent says of itself."""
        latest = self._episodes[-self._rollouts :]
        feasible = [episode for episode in latest if not episode.reason]
        self.logger.record("search/reward", mean)
        self.logger.record("search/best_reward", best)
        self.logger.record("search/degenerate", 1 - len(feasible) / len(latest))
        for name in ("accuracy", "compression", "parameters", "macs"):
            if feasible:
                self.logger.record(f"search/{name}", fmean(getattr(episode, name) for episode in feasible))
        self.logger.record("search/trained_students", students)
        self.logger.dump(updates)
