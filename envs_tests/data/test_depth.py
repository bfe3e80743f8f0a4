"""Pictures of more than 8 bits a channel are refused in whatever format: PIL would cut their values off and say nothing."""

import struct
import zlib
from itertools import product

import numpy as np
import pytest
from PIL import Image

from n2n_gym.data.pixels import UnfitImageError, check_depth, picture

SIDE = 8


def png(colour, depth):
    """White, and nothing to be seen through."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    row = b"\0" + b"\xff" * (SIDE * channels * depth // 8)
    chunks = {b"IHDR": struct.pack(">2I5B", SIDE, SIDE, depth, colour, 0, 0, 0)}
    if colour == 3:
        chunks[b"PLTE"] = b"\xff" * 3 * 2**depth
    chunks |= {b"IDAT": zlib.compress(row * SIDE), b"IEND": b""}
    packed = (struct.pack(">I", len(data)) + kind + data for kind, data in chunks.items())
    check = (struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks.items())
    return b"\x89PNG\r\n\x1a\n" + b"".join(a + b for a, b in zip(packed, check, strict=True))


def netpbm(kind, most):
    count = SIDE * SIDE * (3 if kind in "36" else 1)
    values = f"{most} ".encode() * count if kind in "23" else most.to_bytes(1 if most < 256 else 2, "big") * count
    return f"P{kind} {SIDE} {SIDE} {most}\n".encode() + values


def tiff(order, channels, bits, planar):
    """Uncompressed, with all bits set; planar is 2 where each channel lies by itself."""
    size, many = SIDE * SIDE * bits // 8, channels if planar == 2 else 1
    strips = [size if planar == 2 else size * channels] * many
    tags = {
        256: [SIDE],
        257: [SIDE],
        258: [bits] * channels,
        259: [1],
        262: [1 if channels == 1 else 2],
        277: [channels],
        278: [SIDE],
        284: [planar],
        279: strips,
        **({338: [2]} if channels == 4 else {}),
    }
    begin = 8 + 2 + 12 * (len(tags) + 1) + 4
    after = b""
    tags[273] = [0] * many
    room = sum(2 * len(values) for values in tags.values() if len(values) > 2)
    tags[273] = [begin + room + sum(strips[:number]) for number in range(many)]
    entries = b""
    for tag, values in sorted(tags.items()):
        packed = struct.pack(f"{order}{len(values)}H", *values)
        if len(packed) > 4:
            entries += struct.pack(f"{order}HHII", tag, 3, len(values), begin + len(after))
            after += packed
        else:
            entries += struct.pack(f"{order}HHI", tag, 3, len(values)) + packed.ljust(4, b"\0")
    header = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HIH", 42, 8, len(tags))
    return header + entries + bytes(4) + after + b"\xff" * sum(strips)


def bmp_of_5_6_5_bits():
    masks = struct.pack("<3I", 0xF800, 0x7E0, 0x1F)
    header = struct.pack("<IiiHHIIiiII", 40, SIDE, SIDE, 1, 16, 3, 2 * SIDE * SIDE, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 66 + 2 * SIDE * SIDE, 0, 0, 66) + header + masks + b"\xff" * 2 * SIDE * SIDE


DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
FILES = {f"png {colour} {depth}": (png(colour, depth), depth > 8) for colour in DEPTHS for depth in DEPTHS[colour]}
FILES |= {
    f"P{kind} {most}": (netpbm(kind, most), most > 255) for kind, most in product("2356", (1, 15, 255, 256, 1000, 65535))
}
FILES |= {
    f"tiff {order} {channels} {bits} {planar}": (tiff(order, channels, bits, planar), bits > 8)
    for order, channels, bits, planar in product("<>", (1, 3, 4), (8, 16), (1, 2))
    if channels > 1 or planar == 1
}
FILES["bmp"] = (bmp_of_5_6_5_bits(), False)


@pytest.mark.parametrize("name", FILES)
def test_a_picture_of_more_than_8_bits_a_channel_is_refused(tmp_path, name):
    content, deep = FILES[name]
    (tmp_path / "picture").write_bytes(content)
    with Image.open(tmp_path / "picture") as image:
        if deep:
            with pytest.raises(UnfitImageError, match="more than 8 bits a channel"):
                check_depth(image)
        else:
            np.testing.assert_array_equal(picture(image), 255)


def test_a_picture_in_memory_has_8_bits():
    np.testing.assert_array_equal(picture(Image.new("RGB", (SIDE, SIDE), "white")), 255)
