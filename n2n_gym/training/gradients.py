"""The gradients of one step: forward pass, loss and backward pass; on a GPU as one CUDA graph."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from n2n_gym.layers.modules import OwnDropout
from n2n_gym.training.recipes import Recipe

Batch = tuple[Tensor, Tensor, Tensor | None]
"""Images as a network reads them, their labels, and the teacher's logits."""

GRAPH_STEPS = 500
"""From so many steps on, a training on a GPU is worth the second that its CUDA graph takes."""

WARM_UP = 3
"""Steps before a graph is captured, in which libraries choose their algorithms."""


class Gradients(Protocol):
    """Fills in the gradients of a network's parameters."""

    def __call__(self, batch: Batch) -> Tensor:
        """The loss of a batch, a number on its device; `grad` of each parameter is its gradient afterwards."""


def gradients_of(network: nn.Module, recipe: Recipe, *, steps: int, bf16: bool) -> Gradients:
    """How the gradients of so many steps are computed.

    Args:
        network: What is trained.
        recipe: Its loss, and how many images a step has.
        steps: Of the whole training.
        bf16: Whether in bfloat16 what torch computes in it.
    """
    plain = PlainGradients(network, recipe, bf16=bf16)
    on_gpu = next(network.parameters()).device.type == "cuda"
    worth_it = on_gpu and steps >= GRAPH_STEPS and repeatable(network)
    return GraphedGradients(network, plain, recipe.batch_size) if worth_it else plain


def repeatable(network: nn.Module) -> bool:
    """Whether a step does the same every time: what dropout draws on the processor would be part of a graph for ever."""
    return not any(isinstance(module, OwnDropout) and module.share for module in network.modules())


class PlainGradients:
    """One operation after the other.

    Args:
        network: What is trained.
        recipe: Its loss.
        bf16: As of `gradients_of`.
    """

    def __init__(self, network: nn.Module, recipe: Recipe, *, bf16: bool) -> None:
        self._network = network
        self._recipe = recipe
        self._bf16 = bf16

    def __call__(self, batch: Batch) -> Tensor:
        images, labels, logits = batch
        device = images.device.type
        # a graph must convert the weights at every step, and not find them in the cache
        with torch.autocast(device, torch.bfloat16, enabled=self._bf16, cache_enabled=device != "cuda"):
            outputs = self._network(images)
        loss = self._loss(outputs.float(), labels, logits)
        self._network.zero_grad(set_to_none=True)
        loss.backward()
        return loss.detach()

    def _loss(self, outputs: Tensor, labels: Tensor, logits: Tensor | None) -> Tensor:
        loss = torch.zeros((), device=outputs.device)
        if self._recipe.hard:
            loss = loss + self._recipe.hard * F.cross_entropy(outputs, labels)
        if logits is not None:
            loss = loss + self._recipe.soft * F.mse_loss(outputs, logits)
        return loss


class GraphedGradients:
    """The same operations recorded once and then launched together, which takes Python and the driver a tenth of the time.

    Args:
        network: What is trained.
        plain: What is recorded.
        size: Images of a batch; one of another size, an epoch's last, is computed plainly.
    """

    def __init__(self, network: nn.Module, plain: PlainGradients, size: int) -> None:
        self._network = network
        self._plain = plain
        self._size = size
        self._graph: torch.cuda.CUDAGraph | None = None
        self._others = False

    def __call__(self, batch: Batch) -> Tensor:
        if len(batch[0]) != self._size:
            self._others = True
            return self._plain(batch)
        if self._graph is None:
            self._capture(batch)
        assert self._graph is not None
        for held, given in zip(self._batch, batch, strict=True):
            if held is not None and given is not None:
                held.copy_(given)
        self._graph.replay()
        if self._others:  # a plain step has put its own gradients there
            for parameter, gradient in zip(self._network.parameters(), self._gradients, strict=True):
                parameter.grad = gradient
            self._others = False
        return self._loss

    def _capture(self, batch: Batch) -> None:
        images, labels, logits = batch
        wanted = torch.empty_like(images, memory_format=torch.channels_last).copy_(images)
        self._batch: Batch = wanted, labels.clone(), None if logits is None else logits.clone()
        before = [buffer.clone() for buffer in self._network.buffers()]
        stream = torch.cuda.Stream(images.device)
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                self._plain(self._batch)
        torch.cuda.current_stream().wait_stream(stream)
        self._network.zero_grad(set_to_none=True)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._loss = self._plain(self._batch)
        self._gradients = [parameter.grad for parameter in self._network.parameters()]
        for buffer, value in zip(self._network.buffers(), before, strict=True):  # the warm-up has moved running statistics
            buffer.copy_(value)
