"""Optuna's tree-structured Parzen estimator (Bergstra et al., 2011) on an episode's decisions."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import cached_property
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from agents.algorithms.informed import InformedSearch
from agents.algorithms.plans import Plan, Plans
from n2n_gym.errors import InputError
from n2n_gym.rewards import DEGENERATE

if TYPE_CHECKING:
    from optuna import Study


ASKS = 10
"""Proposals that may show nothing new before random ones follow: where many episodes end with the same student, the sampler
goes round among those that it knows, and each of its proposals takes a hundredth of a second."""


class ParzenEstimator(InformedSearch):
    """Lets Optuna's TPE sampler propose, a parameter a decision, and tells it what the students brought.

    It sees rewards alone, as any black box. What costs no training is told it for nothing: proposals whose students are
    degenerate, too large or trained already are answered without being played.

    Args:
        env: A compression environment, single or vectorised.
        **settings: Arguments of `PlannedSearch`.

    Raises:
        InputError: If Optuna is not installed.
    """

    @classmethod
    def check_installed(cls) -> None:
        if find_spec("optuna") is None:
            raise InputError("the agent tpe needs Optuna: pip install 'n2n-gym[optuna]'")

    def propose(self, count: int) -> Plans:
        study = self._study()
        return np.stack([self.fresh(self._draws(study).__next__) for _ in range(count)])

    def _draws(self, study: Study) -> Iterator[Plan]:
        """What the study proposes, and after `ASKS` of that random episodes."""
        for _ in range(ASKS):
            yield self._asked(study)
        while True:
            yield self.uniform(1)[0]

    def _study(self) -> Study:
        """A study of all students so far; its sampler begins anew at each update, so that nothing else has to be saved."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = optuna.samplers.TPESampler(multivariate=True, constant_liar=True, seed=int(self.rng.integers(2**31)))
        study = optuna.create_study(direction="maximize", sampler=sampler)
        choices = {str(i): optuna.distributions.IntDistribution(0, len(there) - 1) for i, there in enumerate(self._useful)}
        study.add_trials(
            [
                optuna.create_trial(params=self._as_parameters(plan), distributions=choices, value=value)  # type: ignore[arg-type]
                for plan, value in zip(self.known.plans, self.known.returns, strict=True)
            ]
        )
        return study

    @cached_property
    def _useful(self) -> list[npt.NDArray[np.intp]]:
        """The actions of use at each decision; a parameter is a place among them."""
        return [np.flatnonzero(mask) for mask in self.masks]

    def _as_parameters(self, plan: Plan) -> dict[str, int]:
        return {
            str(i): int(np.searchsorted(there, action))
            for i, (there, action) in enumerate(zip(self._useful, plan, strict=True))
        }

    def _asked(self, study: Study) -> Plan:
        """What the study proposes; what is known of it already the study is told."""
        from optuna.trial import TrialState

        trial = study.ask()
        plan = np.array([there[trial.suggest_int(str(i), 0, len(there) - 1)] for i, there in enumerate(self._useful)])
        student = self.known.look(plan)
        if not student.allowed:
            study.tell(trial, DEGENERATE)
        elif (value := self.known.return_of(student.fingerprint)) is not None:
            study.tell(trial, value)
        elif student.fingerprint in self._proposed:
            study.tell(trial, state=TrialState.FAIL)
        return plan
