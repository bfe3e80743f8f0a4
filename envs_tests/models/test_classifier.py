"""A network with its preprocessing refuses images that it would answer wrongly."""

import pytest
import torch

from envs_tests.conftest import DEEPER_TOY
from n2n_gym.errors import InputError
from n2n_gym.models.build import Network
from n2n_gym.models.checkpoint import Classifier
from n2n_gym.models.preprocessing import Preprocessing

PIXELS = torch.randint(0, 256, (4, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def classifier():
    return Classifier(Preprocessing((0.5,), (0.2,), (8, 8)), Network(DEEPER_TOY, torch.Generator().manual_seed(0))).eval()


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (PIXELS.float(), "of torch.float32 must lie from 0 to 1, these lie from 0 to 254: divide pixels by 255"),
        (PIXELS.double() / 127.5 - 1, "these lie from -1 to 0.99"),
        (torch.full((1, 1, 8, 8), float("nan")), "these lie from nan to nan"),
        (PIXELS.long(), r"uint8, or floats from 0 to 1, not torch.int64: convert them by .to\(torch.uint8\)"),
        (PIXELS.bool(), "not torch.bool"),
        (PIXELS.numpy(), r"must be a tensor, not numpy.ndarray: give torch.from_numpy\(images\)"),
        (PIXELS.tolist(), "must be a tensor, not list: give one of torch's"),
        (PIXELS[0], r"must have the shape \(N, 1, height, width\), not \(1, 8, 8\)"),
        (PIXELS.expand(4, 3, 8, 8), r"not \(4, 3, 8, 8\)"),
        (PIXELS.permute(0, 2, 3, 1), r"not \(4, 8, 8, 1\)"),
    ],
)
def test_refused(classifier, images, message):
    with pytest.raises(InputError, match=message):
        classifier(images)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16])
def test_floats_in_the_unit_interval_are_read_as_bytes_are(classifier, dtype):
    torch.testing.assert_close(classifier((PIXELS.double() / 255).to(dtype)), classifier(PIXELS), atol=5e-3, rtol=0)
    assert classifier(PIXELS[:0]).shape == (0, 3)
    assert classifier(PIXELS[:0].float()).shape == (0, 3)


def test_the_look_at_the_pixels_is_not_traced(classifier):
    images = PIXELS.float() / 255
    program = torch.export.export(classifier, (images,), strict=False)
    traced = torch.jit.trace(classifier, images)
    for text in (str(program.graph), str(traced.inlined_graph)):
        assert "conv" in text
        assert "aminmax" not in text
    torch.testing.assert_close(traced(images), classifier(images))
