from __future__ import annotations

import numpy as np
import pytest

from mmrs.geo.rows.spool_frames import ArrayLayout, FrameCodec

LAYOUTS = (
    ArrayLayout("labels", "uint8"),
    ArrayLayout("a", "uint16"),
    ArrayLayout("b", "float32", 3),
)


def arrays(rows: int, width: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "labels": rng.integers(0, 256, (rows, width), dtype=np.uint8),
        "a": rng.integers(0, 65536, (rows, width), dtype=np.uint16),
        "b": rng.standard_normal((3, rows, width)).astype(np.float32),
    }


@pytest.mark.parametrize(("rows", "width"), [(1, 1), (7, 5), (3, 400)])
def test_arrays_come_back_to_the_bit(rows: int, width: int) -> None:
    codec, given = FrameCodec(LAYOUTS, width), arrays(rows, width)
    given["b"][0, 0, 0] = np.nan
    # views whose rows do not follow each other are packed as any others
    frame = codec.pack(2**40, {name: np.asfortranarray(array) for name, array in given.items()})
    head, payload = frame[: codec.head_bytes], frame[codec.head_bytes :]
    assert codec.rows(head) == (2**40, rows)
    assert codec.payload_bytes(head) == len(payload) <= codec.most_bytes(rows)
    assert codec.is_whole(head, payload)
    found = codec.unpack(head, payload)
    for name, array in given.items():
        assert found[name].dtype == array.dtype and found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes()


def test_any_changed_byte_is_noticed() -> None:
    codec = FrameCodec(LAYOUTS, 5)
    frame = codec.pack(3, arrays(2, 5))
    for byte in range(len(frame)):
        changed = bytearray(frame)
        changed[byte] ^= 1
        assert not codec.is_whole(
            bytes(changed[: codec.head_bytes]), bytes(changed[codec.head_bytes :])
        )


def test_layouts_know_their_size() -> None:
    assert [layout.bytes_per_pixel for layout in LAYOUTS] == [1, 2, 12]
    assert [layout.shape(4, 5) for layout in LAYOUTS] == [(4, 5), (4, 5), (3, 4, 5)]


def test_noise_is_kept_as_it_is_and_what_packs_is_packed() -> None:
    rng = np.random.default_rng(0)
    codec = FrameCodec(LAYOUTS[:1], 1000)
    noise = rng.integers(0, 256, (100, 1000), dtype=np.uint8)
    runs = np.repeat(rng.integers(0, 9, 1000, dtype=np.uint8), 100).reshape(100, 1000)
    for labels, least, most in ((noise, noise.size, 1.01 * noise.size), (runs, 0, 5000)):
        frame = codec.pack(0, {"labels": labels})
        assert least <= len(frame) <= most
        found = codec.unpack(frame[: codec.head_bytes], frame[codec.head_bytes :])
        np.testing.assert_array_equal(found["labels"], labels)
