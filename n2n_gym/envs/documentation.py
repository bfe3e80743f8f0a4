"""What the environments' pages say alike, and their arguments in signature and page."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields
from inspect import Parameter
from typing import Any, TypeVar

from n2n_gym.envs.settings import Settings
from n2n_gym.layers import KINDS, MOST_CODES
from n2n_gym.settings import explained

Env = TypeVar("Env")

_TYPES = ", ".join(f"{kind.code} {name}" for name, kind in sorted(KINDS.items(), key=lambda item: item[1].code))

COLUMNS = f"""\
| column | meaning | at most |
|---|---|---|
| 0 type | {_TYPES} | {MOST_CODES} |
| 1 kernel | side of the window, pixels | 64 |
| 2 stride | step of the window, pixels | 64 |
| 3 padding | zeros around the image, pixels | 64 |
| 4 outputs | filters or connections | 65,536 |
| 5 skip start | in a residual block: layers since the shortcut began, from 1; else 0 | 1,024 |
| 6 skip end | in a residual block: layers until it ends, to 1; else 0 | 1,024 |"""
"""Head and first rows of the table of what an observation's row holds."""

REWARDS = """\
0 until the last decision, then R = C (2 - C) A / A_teacher, where C = 1 - student's parameters / teacher's and A is
the accuracy on validation images that nothing was trained on. A degenerate student gets -1: no trainable layer left,
shapes that do not fit in a residual block, a feature map smaller than its kernel, a linear layer that reads more than
50,000 numbers and more than four times as many as any of the teacher's, a student that is not smaller than the teacher, a
training that failed. Discount with 1.

Where shapes, sizes and classes alone decide, `action_masks()` never offers what can only fail: after the actions taken so
far, an action that is offered can still lead to a student that is not degenerate. Masks are advice: who ignores them may end
with -1. `lookahead=False` has masks rule out only removals of protected layers, and what is decided of a layer that is gone.

`preview(actions)` tells of a whole episode, without training anything, what its student's sizes are, whether it is
degenerate, which limits on sizes it exceeds, its reward if it were as accurate as its teacher (`worth`) and if it were never
right (`base`; a reward is on the line between the two, as long as limits are kept), and the accuracy that limits ask for
(`needed`).

`constraints` limit what a student may cost or must achieve. One that exceeds a limit gets -1 (`relaxation="hard"`), or
epsilon_t (R + 1) - 1 (`relaxation="relaxed"`), where epsilon_t = (1 - t / 15)^4 tightens with t, the number of policy
updates. The environment cannot see those: tell it with `env.unwrapped.set_update(t)`; the algorithms of `agents` do."""

INFORMATION = """\
The same keys at `reset` and at every step; before the last step numbers are 0 and texts empty:

| key | meaning |
|---|---|
| `accuracy` | validation accuracy, 0 to 1 |
| `teacher_accuracy` | the teacher's, on the same images; 0 with a student that was not trained |
| `compression` | C |
| `parameters`, `macs` | the student's trainable parameters; multiply-accumulates for one image |
| `reason` | why it is degenerate, or "" |
| `violated` | the limits that it exceeds, or "" |
| `actions` | the episode's actions, -1 where nothing is decided yet |

`env.unwrapped.finished` holds the student's architecture and evaluation too."""

NOTES = """\
A limit is a weighted sum with `<=` or `>=` and a number: `parameters<=20000`, `macs<=1e6`, `model_bytes`,
`activation_bytes` (of one image), `latency_ms` (median of repeated warm passes on `device`), `accuracy>=0.9`,
`class_accuracy[3]>=0.9`, `parameters + 0.1*macs <= 50000`.

With `evaluator="table"` nothing is trained: every student of the space was, with several seeds (`n2n table list`), and
the best reward that there is, is known. A reward is the mean of the trainings that a search may see, the first half; the
others say what a student is worth. With `seed="draw"` one of the former is drawn from the random numbers that
`reset(seed=)` seeds; else nothing in an episode is random, and `reset(seed=)` changes nothing.

Making the environment and all steps but the last train nothing and download nothing. The teacher is trained, once,
when the first episode ends."""

COMMON = {"columns": COLUMNS, "rewards": REWARDS, "information": INFORMATION, "notes": NOTES}
"""What stands in a page for `{columns}` and so on."""


def page(text: str, settings: type[Settings]) -> str:
    """An environment's page: its own text, with what the pages have in common (`COMMON`) and `{arguments}` filled in.

    Args:
        text: The class's docstring.
        settings: The environment's arguments.
    """
    filled = inspect.cleandoc(text)
    for name, part in {**COMMON, "arguments": _arguments(settings)}.items():
        filled = filled.replace(f"{{{name}}}", part)
    return filled


def takes(settings: type[Settings]) -> Callable[[type[Env]], type[Env]]:
    """A class decorator: the fields of `settings` stand in the signature of an environment whose `__init__` takes
    `**arguments`, and in its page.
    """

    def decorated(env: type[Env]) -> type[Env]:
        init = env.__init__
        own = [each for each in inspect.signature(init).parameters.values() if each.kind is not Parameter.VAR_KEYWORD]
        above: Any = env.__mro__[1]  # what it hands on
        own += [inspect.signature(above.__init__).parameters[name] for name in getattr(env, "options", ())]
        shown = [
            Parameter(field.name, Parameter.KEYWORD_ONLY, default=field.default, annotation=field.type)
            for field in fields(settings)
        ]
        init.__signature__ = inspect.Signature([*own, *shown])  # type: ignore[attr-defined]
        if env.__doc__:  # there is none under python -OO
            env.__doc__ = page(env.__doc__, settings)
        return env

    return decorated


def _arguments(settings: type[Settings]) -> str:
    meanings = explained(settings)
    rows = [f"| `{field.name}` | `{_shown(field.default)}` | {meanings.get(field.name, '')} |" for field in fields(settings)]
    return "\n".join(["| argument | default | meaning |", "|---|---|---|", *rows])


def _shown(default: object) -> str:
    return f'"{default}"' if isinstance(default, str) else str(default)
