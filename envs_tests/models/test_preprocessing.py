import numpy as np
import pytest
import torch

from n2n_gym.data import DATASETS
from n2n_gym.models.preprocessing import Preprocessing, View


def test_scale_and_normalise_by_hand():
    preprocessing = Preprocessing((0.5, 0.25), (0.5, 1.0), (2, 2))
    images = torch.tensor([0, 255], dtype=torch.uint8).view(1, 2, 1, 1).expand(1, 2, 2, 2)
    expected = torch.tensor([-1.0, 0.75]).view(1, 2, 1, 1).expand(1, 2, 2, 2)
    torch.testing.assert_close(preprocessing(images), expected)
    torch.testing.assert_close(preprocessing(images.float() / 255), expected)


def test_small_images_are_enlarged():
    preprocessing = Preprocessing((0.0,), (1.0,), (32, 32))
    images = torch.full((3, 1, 8, 8), 51, dtype=torch.uint8)
    torch.testing.assert_close(preprocessing(images), torch.full((3, 1, 32, 32), 0.2))


def test_json_both_ways():
    preprocessing = Preprocessing((0.5, 0.5, 0.5), (1.0, 1.0, 1.0), (40, 32))
    again = Preprocessing.from_json(preprocessing.to_json())
    assert again.to_json() == preprocessing.to_json()
    assert again.side == (40, 32)


def test_views_are_fixed_distinct_and_shift_by_at_most_the_padding():
    spec = DATASETS["cifar10"]
    first, again, second = (View.draw(spec, 200, index) for index in (0, 0, 1))
    assert torch.equal(first.offsets, again.offsets)
    assert torch.equal(first.flips, again.flips)
    assert not torch.equal(first.offsets, second.offsets)
    assert (first.offsets.min(), first.offsets.max()) == (-4, 4)
    assert 0.35 < first.flips.float().mean() < 0.65
    assert View.draw(DATASETS["mnist"], 10, 0).plain


@pytest.mark.parametrize(("rows", "columns", "flip"), [(0, 0, False), (2, -3, False), (-4, 4, True)])
def test_crops_and_mirrors_as_numpy_does(rows, columns, flip):
    images = torch.randint(0, 256, (5, 3, 9, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    view = View(torch.tensor([[rows, columns]]).expand(5, 2), torch.tensor([flip]).expand(5))
    indices = torch.tensor([3, 0])
    expected = images[indices].numpy()
    expected = expected[..., ::-1] if flip else expected
    padded = np.pad(expected, ((0, 0), (0, 0), (4, 4), (4, 4)))
    expected = padded[:, :, 4 + rows : 13 + rows, 4 + columns : 12 + columns]
    result = view.apply(images, indices)
    assert result.dtype == torch.uint8
    np.testing.assert_array_equal(result.numpy(), expected)
