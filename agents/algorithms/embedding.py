"""Architecture Compression: gradient descent in a learned continuous embedding of architectures.

An encoder-decoder turns a student into a vector and back; on the vector, two regressions tell the student's accuracy
and size. Following their gradients from a known student's vector, and decoding where they lead, proposes the next one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from stable_baselines3.common.type_aliases import GymEnv
from torch import Tensor, nn
from torch.nn import functional

from agents.algorithms.episodic import keeps_limits
from agents.algorithms.planned import PlannedSearch
from agents.algorithms.plans import Plans
from n2n_gym.architecture import Architecture
from n2n_gym.architecture.features import DECISION, standard_scores
from n2n_gym.evaluation import Evaluation

TRIES = 20
"""Draws from the decoder before an episode that was played already is played again."""

BATCH_SIZE = 64
LEARNING_RATE = 3e-3
NOISE = 0.1
"""On the embeddings in training, as a share of their spread: what lies near each other shall decode alike."""
REGRESSION_WEIGHT = 10.0
"""Of the mean squared errors beside the reconstruction's cross-entropy."""


class ArchitectureEmbedding(nn.Module):
    """A 1-D convolutional encoder-decoder over an episode's decisions, with two regressions on the embedding.

    Args:
        rows: What is known of each decision, shape (decisions, columns).
        masks: Which actions have an effect, shape (decisions, actions).
        size: Length of the embedding.
        channels: Of the convolutions.
        generator: Source of the initial weights.
    """

    rows: Tensor
    masks: Tensor

    def __init__(
        self, rows: Tensor, masks: Tensor, *, size: int = 32, channels: int = 32, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        decisions, columns = rows.shape
        actions = masks.shape[1]
        self.register_buffer("rows", rows.T)
        self.register_buffer("masks", masks)
        self.encoder = nn.Sequential(
            nn.Conv1d(columns + actions, channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv1d(channels, channels, 3, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(channels * decisions, size),
        )
        self.decoder = nn.Sequential(
            nn.Linear(size, channels * decisions),
            nn.Unflatten(1, (channels, decisions)),
            nn.ReLU(),
            nn.Conv1d(channels, channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv1d(channels, actions, 3, padding=1),
        )
        self.regression = nn.Sequential(nn.Linear(size, 64), nn.ReLU(), nn.Linear(64, 2), nn.Sigmoid())
        for weight in self.parameters():
            bound = (weight.shape[1] * weight[0, 0].numel()) ** -0.5 if weight.dim() > 1 else 0.0
            nn.init.uniform_(weight, -bound, bound, generator=generator)

    def encode(self, plans: Tensor) -> Tensor:
        """Whole episodes' actions, shape (B, decisions), as vectors, shape (B, size)."""
        taken = functional.one_hot(plans, self.masks.shape[1]).transpose(1, 2).float()
        known = self.rows.expand(len(plans), -1, -1)
        result: Tensor = self.encoder(torch.cat([known, taken], 1))
        return result

    def decode(self, vectors: Tensor) -> Tensor:
        """Vectors as logits of actions, shape (B, decisions, actions); minus infinity for those without an effect."""
        logits: Tensor = self.decoder(vectors).transpose(1, 2)
        return logits.masked_fill(~self.masks, -torch.inf)

    def predict(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Accuracy and compression, each of shape (B) and in (0, 1)."""
        accuracy, compression = self.regression(vectors).unbind(1)
        return accuracy, compression

    def objective(self, vectors: Tensor) -> Tensor:
        """The paper's reward of what the regressions predict, up to the teacher's accuracy (section 3.3), shape (B)."""
        accuracy, compression = self.predict(vectors)
        return accuracy * compression * (2 - compression)


class ArchitectureCompression(PlannedSearch):
    """Searches a learned embedding of the students by gradient descent.

    The first episodes are uniformly random. From then on the encoder-decoder is trained anew whenever there are new
    students, on all so far: to reconstruct them, and to regress their accuracy and compression from the embedding. A student
    that is degenerate or exceeds a limit counts as one of accuracy 0. From the embeddings of the teacher, of the best
    students and of random others, gradient steps raise the predicted reward; what is decoded there, and was not played
    before, is played next.

    Args:
        env: A compression environment, single or vectorised.
        warm_up: Random episodes at the start.
        training_steps: Of Adam, on the encoder-decoder, before each update.
        descent_steps: Of gradient descent in the embedding.
        step_size: Length of each, as a share of the embeddings' spread.
        **settings: Arguments of `PlannedSearch`.
    """

    _constructor: ClassVar[tuple[str, ...]] = ("warm_up", "training_steps", "descent_steps", "step_size")

    def __init__(
        self,
        env: GymEnv | str,
        *,
        warm_up: int = 30,
        training_steps: int = 100,
        descent_steps: int = 20,
        step_size: float = 0.1,
        **settings: Any,
    ) -> None:
        if warm_up < 2:
            raise ValueError(f"warm_up must be at least 2 episodes, not {warm_up}")
        self.warm_up = warm_up
        self.training_steps = training_steps
        self.descent_steps = descent_steps
        self.step_size = step_size
        self.plans: list[npt.NDArray[np.int64]] = []
        self.facts: list[tuple[float, float, float]] = []
        self._network: tuple[int, ArchitectureEmbedding] | None = None
        super().__init__(env, **settings)

    def propose(self, count: int) -> Plans:
        if len(self.plans) < self.warm_up:
            return self.uniform(count)
        network = self._current()
        plans = torch.from_numpy(np.stack(self.plans))
        starts = [self._teacher(), *(plans[index] for index in self._starts(count - 1))]
        with torch.no_grad():
            spread = float(network.encode(plans).std())
            vectors = network.encode(torch.stack(starts))
        ends = self._descend(network, vectors, spread)
        return self._decoded(network, ends)

    def observe(self, plans: Plans, returns: Sequence[float], infos: Sequence[dict[str, Any]]) -> None:
        super().observe(plans, returns, infos)
        for plan, value, info in zip(plans, returns, infos, strict=True):
            self.plans.append(plan)
            self.facts.append((info["accuracy"] if keeps_limits(info) else 0.0, info["compression"], value))

    def study(self, students: Iterable[tuple[Architecture, Evaluation]]) -> int:
        """Learn from students that were evaluated before, such as `StoredEvaluator.known` gives.

        Args:
            students: Architectures and evaluations; those that no episode here leads to are passed over.

        Returns:
            How many were taken up. They count as random episodes of the start.
        """
        assert self.env is not None
        judge = self.env.get_attr("judge")[0]
        before = len(self.plans)
        for student, evaluation in students:
            if (actions := self.stage.actions_of(student)) is not None:
                finished = judge.finished(actions, evaluation)
                self.observe(np.array([actions]), [finished.reward], [finished.info])
        return len(self.plans) - before

    def memory(self) -> dict[str, Tensor]:
        return {
            "plans": torch.from_numpy(np.array(self.plans, dtype=np.int64).reshape(-1, len(self.masks))),
            "facts": torch.tensor(self.facts, dtype=torch.float64).reshape(-1, 3),
        }

    def remember(self, tensors: dict[str, Tensor]) -> None:
        self.plans = list(tensors["plans"].numpy())
        self.facts = [(accuracy, compression, value) for accuracy, compression, value in tensors["facts"].tolist()]

    def _current(self) -> ArchitectureEmbedding:
        """The encoder-decoder for what is known now: trained once, however often it is asked to propose."""
        if self._network is None or self._network[0] != len(self.plans):
            self._network = len(self.plans), self._trained()
        return self._network[1]

    def _trained(self) -> ArchitectureEmbedding:
        """A new encoder-decoder, trained on everything known."""
        generator = torch.Generator().manual_seed(int(self.rng.integers(2**31)))
        known = torch.from_numpy(standard_scores(self.stage.rows[:, :DECISION]))
        network = ArchitectureEmbedding(known, torch.from_numpy(self.masks), generator=generator)
        plans = torch.from_numpy(np.stack(self.plans))
        accuracy, compression, _ = torch.tensor(self.facts, dtype=torch.float32).unbind(1)
        compression = compression.clamp(0, 1)
        optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE, fused=True)
        for _ in range(self.training_steps):
            chosen = torch.randint(len(plans), (BATCH_SIZE,), generator=generator)
            vectors = network.encode(plans[chosen])
            noisy = vectors + NOISE * vectors.detach().std() * torch.randn(vectors.shape, generator=generator)
            reconstruction = functional.cross_entropy(network.decode(noisy).transpose(1, 2), plans[chosen])
            predicted = network.predict(noisy)
            regression = sum(
                functional.mse_loss(guess, truth[chosen])
                for guess, truth in zip(predicted, (accuracy, compression), strict=True)
            )
            optimizer.zero_grad()
            (reconstruction + REGRESSION_WEIGHT * regression).backward()
            optimizer.step()
        return network

    def _teacher(self) -> Tensor:
        """The episode that changes nothing."""
        return torch.full((len(self.masks),), self.stage.keep)

    def _starts(self, count: int) -> list[int]:
        """Which students to descend from: the best, and as many others again for what the best have missed."""
        values = [(accuracy > 0, value) for accuracy, _, value in self.facts]  # relaxed limits reward who exceeds them, too
        _, distinct = np.unique(np.stack(self.plans), axis=0, return_index=True)
        best = sorted(distinct, key=lambda index: values[index], reverse=True)[: count - count // 2]
        others = self.rng.choice(len(self.plans), count - len(best))
        return [int(index) for index in (*best, *others)]

    def _descend(self, network: ArchitectureEmbedding, vectors: Tensor, spread: float) -> Tensor:
        """Follow the gradient of the predicted reward, steps of one length for all."""
        vectors = vectors.clone()
        for _ in range(self.descent_steps):
            vectors.requires_grad_()
            [gradient] = torch.autograd.grad(network.objective(vectors).sum(), vectors)
            direction = gradient / gradient.norm(dim=1, keepdim=True).clamp(min=1e-12)
            vectors = vectors.detach() + self.step_size * spread * direction
        return vectors

    def _decoded(self, network: ArchitectureEmbedding, vectors: Tensor) -> Plans:
        """An episode for each vector: the most probable one, or where that was played, one drawn from the decoder."""
        with torch.no_grad():
            logits = network.decode(vectors).double().numpy()
        played = {plan.tobytes() for plan in self.plans}
        chosen = []
        for each in logits:
            plan = each.argmax(1)
            for attempt in range(TRIES):
                if plan.tobytes() not in played:
                    break
                warmer = each / (1.0 + attempt)
                plan = (warmer + self.rng.gumbel(size=each.shape)).argmax(1)
            played.add(plan.tobytes())
            chosen.append(plan)
        return np.stack(chosen)
