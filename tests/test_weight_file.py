"""Safetensors of our own: the same bytes again, nothing damaged is taken, MMEngine reads them."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from mmengine.model import BaseModule
from mmengine.runner.checkpoint import CheckpointLoader
from safetensors.torch import save_file
from torch import nn

import mmrs.models  # noqa: F401  registers the loader
from mmrs.compat import explain_import_error, safe_load_checkpoint
from mmrs.errors import CheckpointError
from mmrs.weight_file import load_safetensors, safetensors_bytes, tensors_sha256


def tensors() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return {
        "conv.weight": torch.randn(2, 3, 1, 1, generator=generator),
        "bn.num_batches_tracked": torch.tensor(7),
        "half": torch.randn(3, generator=generator).half(),
        "brain": torch.randn(2, 2, generator=generator).bfloat16().t(),
        "empty": torch.zeros(0, 4),
    }


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return set(one) == set(other) and all(
        one[k].dtype == other[k].dtype and torch.equal(one[k], other[k]) for k in one
    )


def test_tensors_of_every_kind_come_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "é 中.safetensors"
    path.write_bytes(safetensors_bytes(tensors()))
    assert equal(load_safetensors(path), tensors())
    assert equal(safe_load_checkpoint(path), tensors())
    assert load_safetensors(path, "meta")["half"].device.type == "meta"


def test_bytes_do_not_depend_on_order_or_layout() -> None:
    first = tensors()
    other = dict(reversed(first.items()))
    other["conv.weight"] = first["conv.weight"].to(memory_format=torch.channels_last)
    assert safetensors_bytes(first) == safetensors_bytes(other)
    assert tensors_sha256(first) == tensors_sha256(other)
    for name, changed in (
        ("half", first["half"].float()),
        ("brain", first["brain"].reshape(4)),
        ("conv.weight", first["conv.weight"].flip(0)),
    ):
        assert tensors_sha256({**first, name: changed}) != tensors_sha256(first)
    assert tensors_sha256({"a": first["half"]}) != tensors_sha256({"b": first["half"]})


def test_views_of_one_memory_are_written_apart(tmp_path: Path) -> None:
    whole = torch.arange(6.0)
    shared = {"a": whole, "b": whole[2:4], "c": whole}
    path = tmp_path / "w.safetensors"
    path.write_bytes(safetensors_bytes(shared))
    assert equal(load_safetensors(path), shared)


def test_no_cut_and_no_changed_byte_gives_other_tensors(tmp_path: Path) -> None:
    whole = safetensors_bytes(tensors())
    path = tmp_path / "w.safetensors"
    refused = 0
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        with pytest.raises(CheckpointError, match=r"w\.safetensors: it is damaged"):
            load_safetensors(path)
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 1 << place % 8
        path.write_bytes(changed)
        try:
            assert equal(load_safetensors(path), tensors()), place
        except CheckpointError as error:
            assert "damaged" in str(error) and "Fix: " in str(error)
            refused += 1
    # what passes is the note itself with its name changed
    assert refused > 0.95 * len(whole)


def test_a_file_of_another_program_needs_no_digest(tmp_path: Path) -> None:
    own = {k: v.contiguous() for k, v in tensors().items()}
    save_file(own, tmp_path / "w.safetensors", metadata={"format": "pt"})
    assert equal(load_safetensors(tmp_path / "w.safetensors"), own)
    save_file(own, tmp_path / "w.safetensors")
    assert equal(load_safetensors(tmp_path / "w.safetensors"), own)


@pytest.mark.parametrize("note", ["[]", "5", "{}", "x"])
def test_a_note_that_is_none_is_told_as_damage(tmp_path: Path, note: str) -> None:
    save_file({"a": torch.ones(2)}, tmp_path / "w.safetensors", metadata={"mmrs": note})
    with pytest.raises(CheckpointError, match=r"w\.safetensors: it is damaged"):
        load_safetensors(tmp_path / "w.safetensors")


def test_what_torch_saved_is_no_safetensors(tmp_path: Path) -> None:
    torch.save(tensors(), tmp_path / "w.safetensors")
    with pytest.raises(CheckpointError, match=r"no safetensors file .* expected a length of 8"):
        safe_load_checkpoint(tmp_path / "w.safetensors")
    with pytest.raises(CheckpointError, match="there is no such file"):
        load_safetensors(tmp_path / "none.safetensors")


def test_a_pretrained_init_cfg_takes_it_without_our_tools(tmp_path: Path) -> None:
    class Net(BaseModule):
        def __init__(self, init_cfg: dict) -> None:
            super().__init__(init_cfg)
            self.fc = nn.Linear(2, 1)

    path = tmp_path / "a folder" / "w.safetensors"
    path.parent.mkdir()
    weight = torch.tensor([[3.0, 4.0]])
    path.write_bytes(safetensors_bytes({"fc.weight": weight, "fc.bias": torch.ones(1)}))
    for prefix, file in ((None, path), ("net.", tmp_path / "p.safetensors")):
        if prefix is not None:
            file.write_bytes(
                safetensors_bytes({"net.fc.weight": weight, "net.fc.bias": torch.ones(1)})
            )
        net = Net({"type": "Pretrained", "checkpoint": str(file), "prefix": prefix})
        net.init_weights()
        assert torch.equal(net.fc.weight, weight)


def test_mmengine_tells_what_an_init_cfg_did_not_find(tmp_path: Path, capsys) -> None:
    class Net(BaseModule):
        def __init__(self, init_cfg: dict) -> None:
            super().__init__(init_cfg)
            self.fc = nn.Linear(2, 1)

    path = tmp_path / "w.safetensors"
    path.write_bytes(safetensors_bytes({"fc.bias": torch.ones(1), "gru.weight": torch.ones(1)}))
    Net({"type": "Pretrained", "checkpoint": str(path)}).init_weights()
    told = capsys.readouterr()
    told = told.out + told.err
    assert "unexpected key in source state_dict: gru.weight" in told
    assert "missing keys in source state_dict: fc.weight" in told
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="it is damaged"):
        Net({"type": "Pretrained", "checkpoint": str(path)}).init_weights()


def test_a_missing_library_is_told_with_its_mend() -> None:
    told = explain_import_error(ModuleNotFoundError("No module", name="safetensors"))
    assert str(told) == "safetensors is not installed. Fix: pip install safetensors"


def test_other_places_keep_their_loaders() -> None:
    for path, ours in (
        ("x.safetensors", True),
        ("/a b/x.safetensors", True),
        ("http://h/x.safetensors", False),
        ("s3://h/x.safetensors", False),
        ("x.pth", False),
        ("x.safetensors.pth", False),
    ):
        with warnings.catch_warnings():
            loader = CheckpointLoader._get_checkpoint_loader(path)
        assert (loader.__name__ == "load_from_safetensors") == ours, path
