"""What documents say of the code is what the code says."""

from pathlib import Path

import pytest

from n2n_gym.layers import KINDS
from n2n_gym.tracing.refusals import short

DOCS = Path(__file__).parent.parent / "docs"


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_of_layer_is_in_the_table_of_what_is_supported(kind):
    names = sorted({f"`{short(name).rstrip('_')}`" for name in KINDS[kind].torch_names})
    about = KINDS[kind].__doc__.splitlines()[0]
    row = f"| `{kind}` | {', '.join(names) or 'part of other kinds'} | {about} |"
    assert row in (DOCS / "your-network.md").read_text().splitlines()
