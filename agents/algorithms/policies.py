"""The two recurrent policies (section 3.2, figure 2). Both read rows of features, so one policy serves any depth.

Rows hold plain numbers: a filter count of 128 beside a padding of 1. An LSTM that reads them as they are saturates, and
all convolutions look alike to it; so a policy reads each column relative to the network's own layers, as standard scores, and
starts with orthogonal weights (docs/settings.md has the figures).

Shapes: B episodes, D decisions, F features, A actions.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from gymnasium import spaces
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import Schedule
from torch import Tensor, nn

from n2n_gym.architecture.features import COLUMNS, DECISION, standard_scores

State = tuple[Tensor, ...]
Arrays = tuple[npt.NDArray[Any], ...]


class SequencePolicy(BasePolicy):
    """A policy that decides on one row after the other and remembers between them.

    Args:
        observation_space: A compression environment's.
        action_space: A compression environment's.
        lr_schedule: Learning rate of Adam, as a function of the share of training that is left.
        layers: LSTM layers.
        hidden: Hidden units of each, per direction.
        critic: Whether a linear layer on the LSTM's hidden state estimates the return too (appendix 6).
    """

    bidirectional: ClassVar[bool]
    inputs: ClassVar[int]

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Discrete,
        lr_schedule: Schedule,
        *,
        layers: int = 2,
        hidden: int,
        critic: bool = False,
    ) -> None:
        if not isinstance(observation_space, spaces.Dict) or not {"architecture", "position"} <= set(observation_space.spaces):
            raise ValueError("this policy needs the observations of a compression environment (N2N/...)")
        super().__init__(observation_space, action_space)
        self.lstm = nn.LSTM(self.inputs, hidden, layers, batch_first=True, bidirectional=self.bidirectional)
        self.actions = int(action_space.n)
        features = hidden * (2 if self.bidirectional else 1)
        self.action_net = nn.Linear(features, self.actions)
        self.value_net = nn.Linear(features, 1) if critic else None
        _initialise(self.lstm)
        self.optimizer = torch.optim.Adam(self.parameters(), lr=lr_schedule(1))
        self.generator = torch.Generator()
        self.generator.seed()

    @abstractmethod
    def hidden_states(self, rows: Tensor, actions: Tensor) -> Tensor:
        """The LSTM's hidden state at every step of whole episodes, shape (B, D, H).

        Args:
            rows: Features of the decisions, shape (B, D, F).
            actions: What was done, shape (B, D).
        """

    def evaluate(self, rows: Tensor, actions: Tensor) -> tuple[Tensor, Tensor | None]:
        """What the policy makes of every step of whole episodes; arguments as in `hidden_states`.

        Returns:
            Unnormalised log-probabilities of all actions, shape (B, D, A), and the critic's estimates of the return, shape
            (B, D), or None without a critic.
        """
        hidden = self.hidden_states(rows, actions)
        return self.action_net(hidden), None if self.value_net is None else self.value_net(hidden).squeeze(2)

    @abstractmethod
    def begin(self, rows: Tensor) -> State:
        """The memory at the start of episodes with these rows; its tensors have B as their first dimension."""

    @abstractmethod
    def advance(self, rows: Tensor, position: Tensor, state: State) -> tuple[Tensor, State]:
        """Logits of the next action, shape (B, A), and the memory after it.

        Args:
            rows: Features of the decisions so far, shape (B, D, F).
            position: Which one is next, shape (B).
            state: The memory.
        """

    @staticmethod
    def rows(observation: dict[str, Tensor]) -> Tensor:
        """The rows that an observation holds, shape (B, D, F)."""
        flat = observation["architecture"].float()
        return flat.view(len(flat), -1, len(COLUMNS))

    def obs_to_tensor(self, observation: Any) -> tuple[dict[str, Tensor], bool]:
        """The observation with a batch dimension, and whether it had one: teachers of any depth are welcome."""
        vectorized = np.ndim(observation["position"]) > 0
        arrays = {key: np.asarray(value) if vectorized else np.asarray(value)[None] for key, value in observation.items()}
        return {key: torch.as_tensor(value, device=self.device) for key, value in arrays.items()}, vectorized

    @torch.no_grad()
    def predict(
        self,
        observation: npt.NDArray[Any] | dict[str, npt.NDArray[Any]],
        state: Arrays | None = None,
        episode_start: npt.NDArray[Any] | None = None,
        deterministic: bool = False,
        action_masks: npt.NDArray[Any] | None = None,
    ) -> tuple[npt.NDArray[Any], Arrays | None]:
        """The next action, and the memory to hand in again with the next observation.

        Args:
            observation: Of one environment or of several.
            state: What the previous call returned; None at the start.
            episode_start: Which environments begin an episode, shape (B).
            deterministic: Take the likeliest action instead of drawing one.
            action_masks: Which actions may be taken, shape (B, A).
        """
        self.set_training_mode(False)
        tensors, vectorized = self.obs_to_tensor(observation)
        rows, position = self.rows(tensors), tensors["position"].long().view(-1)
        memory = self.begin(rows)
        if state is not None:
            fresh = torch.zeros(len(rows)) if episode_start is None else torch.as_tensor(episode_start, dtype=torch.float32)
            kept = (torch.as_tensor(old, device=self.device) for old in state)
            memory = tuple(
                torch.where(fresh.to(self.device).bool().view(-1, *[1] * (new.dim() - 1)), new, old)
                for new, old in zip(memory, kept, strict=True)
            )
        last = rows.shape[1] - 1  # an episode that is over has no next decision; any answer will do
        logits, memory = self.advance(rows, position.clamp(max=last), memory)
        if action_masks is not None:
            logits = masked(logits, torch.as_tensor(action_masks, dtype=torch.bool, device=self.device).view(len(rows), -1))
        actions = logits.argmax(1) if deterministic else self._draw(logits)
        chosen = actions.cpu().numpy()
        return chosen if vectorized else chosen[0], tuple(tensor.cpu().numpy() for tensor in memory)

    @torch.no_grad()
    def play(self, rows: Tensor, masks: Tensor, *, deterministic: bool = False) -> Tensor:
        """Draw whole episodes' actions, without an environment, shape (B, D).

        Args:
            rows: Features of the decisions, nothing decided yet, shape (B, D, F).
            masks: Which actions may be taken, shape (B, D, A).
            deterministic: Take the likeliest actions instead of drawing them.
        """
        self.set_training_mode(False)
        rows = rows.clone()
        state = self.begin(rows)
        for position in range(rows.shape[1]):
            logits, state = self.advance(rows, torch.full((len(rows),), position, device=rows.device), state)
            logits = masked(logits, masks[:, position])
            drawn = logits.argmax(1) if deterministic else self._draw(logits)
            rows[:, position, DECISION] = (drawn + 1).to(rows.dtype)
        return rows[:, :, DECISION].long() - 1

    def _draw(self, logits: Tensor) -> Tensor:
        """Actions drawn on the CPU from the policy's own generator, so that training can resume exactly."""
        probabilities = logits.float().softmax(1).cpu()
        return torch.multinomial(probabilities, 1, generator=self.generator).squeeze(1)

    def _predict(self, observation: Any, deterministic: bool = False) -> Tensor:
        raise NotImplementedError("a recurrent policy decides with its memory: call predict(observation, state)")


def _initialise(lstm: nn.LSTM) -> None:
    """Orthogonal weights, as Stable-Baselines3's policies have them, and forget gates that are open at first."""
    for name, parameter in lstm.named_parameters():
        gates = parameter.data.chunk(4)  # input, forget, cell, output
        if name.startswith("weight"):
            for gate in gates:
                nn.init.orthogonal_(gate, gain=math.sqrt(2) if name.startswith("weight_ih") else 1.0)
        else:
            parameter.data.zero_()
            if name.startswith("bias_ih"):
                gates[1].fill_(1.0)


def masked(logits: Tensor, masks: Tensor) -> Tensor:
    """Logits with the probability of masked actions set to 0."""
    return logits.masked_fill(~masks, -torch.inf)


class BidirectionalLstmPolicy(SequencePolicy):
    """Sees the whole network at once: pi_remove(a_t | h_{t-1}, h_{t+1}, x_t) (section 3.2.1).

    Its decisions do not depend on earlier actions, so one pass gives a whole episode's probabilities.
    """

    bidirectional: ClassVar[bool] = True
    inputs: ClassVar[int] = DECISION

    def __init__(self, *args: Any, hidden: int = 30, **kwargs: Any) -> None:
        super().__init__(*args, hidden=hidden, **kwargs)

    def hidden_states(self, rows: Tensor, actions: Tensor) -> Tensor:
        states: Tensor = self.lstm(standard_scores(rows[..., :DECISION]))[0]
        return states

    def begin(self, rows: Tensor) -> State:
        return (self.action_net(self.hidden_states(rows, torch.empty(0))),)

    def advance(self, rows: Tensor, position: Tensor, state: State) -> tuple[Tensor, State]:
        [logits] = state
        return logits[torch.arange(len(logits), device=logits.device), position], state


class AutoregressiveLstmPolicy(SequencePolicy):
    """Sees the network so far and its own last action: pi_shrink(a_t | a_{t-1}, h_{t-1}, x_t) (section 3.2.2)."""

    bidirectional: ClassVar[bool] = False
    inputs: ClassVar[int] = DECISION + 1

    def __init__(self, *args: Any, hidden: int = 50, **kwargs: Any) -> None:
        super().__init__(*args, hidden=hidden, **kwargs)

    def hidden_states(self, rows: Tensor, actions: Tensor) -> Tensor:
        previous = torch.zeros(actions.shape, dtype=rows.dtype, device=rows.device)
        previous[:, 1:] = self._score(actions[:, :-1])
        inputs = torch.cat([standard_scores(rows[..., :DECISION]), previous.unsqueeze(2)], dim=2)
        states: Tensor = self.lstm(inputs)[0]
        return states

    def _score(self, actions: Tensor) -> Tensor:
        """Actions as standard scores among equally likely ones; 0 stands for none."""
        return (actions - (self.actions - 1) / 2) / math.sqrt((self.actions**2 - 1) / 12)

    def begin(self, rows: Tensor) -> State:
        shape = (len(rows), self.lstm.num_layers, self.lstm.hidden_size)
        return (torch.zeros(shape, device=rows.device), torch.zeros(shape, device=rows.device))

    def advance(self, rows: Tensor, position: Tensor, state: State) -> tuple[Tensor, State]:
        everyone = torch.arange(len(rows), device=rows.device)
        previous = torch.where(position > 0, self._score(rows[everyone, position - 1, DECISION] - 1), 0.0)
        known = standard_scores(rows[..., :DECISION])
        inputs = torch.cat([known[everyone, position], previous.unsqueeze(1)], dim=1)
        hidden, cell = (tensor.transpose(0, 1).contiguous() for tensor in state)
        output, (hidden, cell) = self.lstm(inputs.unsqueeze(1), (hidden, cell))
        return self.action_net(output[:, 0]), (hidden.transpose(0, 1), cell.transpose(0, 1))
