"""Weights by URL: downloaded once, checked by their name, never run, told when not to be had."""

import hashlib
import http.server
import io
import threading
from functools import partial

import pytest
import torch
from mmengine.model import BaseModule
from mmengine.model.weight_init import PretrainedInit
from mmengine.runner import checkpoint
from torch import nn

from mmrs.errors import CheckpointError
from mmrs.pretrained import load_url, look_after_pretrained_weights


@pytest.fixture
def site(tmp_path):
    """A server on this machine: (its URL, the folder that it serves)."""
    folder = tmp_path / "site"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", folder
    server.shutdown()
    server.server_close()


@pytest.fixture
def restored():
    """Puts MMEngine's own loaders back."""
    schemes = checkpoint.CheckpointLoader._schemes.copy()
    load, initialise = checkpoint.load_from_http, PretrainedInit.__call__
    yield
    PretrainedInit.__call__ = initialise
    checkpoint.CheckpointLoader._schemes = schemes
    checkpoint.load_from_http = load


def publish(folder, content) -> str:
    """Save weights under the name that torch.hub's convention asks for."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
    name = f"net-{digest[:8]}.pth"
    (folder / name).write_bytes(buffer.getvalue())
    return name


def test_weights_are_downloaded_once_and_then_taken_from_the_cache(site, tmp_path):
    url, folder = site
    name = publish(folder, {"weight": torch.arange(3.0)})
    for _ in range(2):
        loaded = load_url(f"{url}/{name}", model_dir=tmp_path / "cache", progress=False)
        assert torch.equal(loaded["weight"], torch.arange(3.0))
        (folder / name).unlink(missing_ok=True)
    assert [p.name for p in (tmp_path / "cache").iterdir()] == [name]


def test_a_process_on_another_machine_fetches_what_the_first_one_cannot_give(
    site, tmp_path, monkeypatch
):
    url, folder = site
    name = publish(folder, {"weight": torch.arange(3.0)})
    monkeypatch.setattr("mmengine.dist.get_dist_info", lambda: (8, 16))
    waited = []
    monkeypatch.setattr(torch.distributed, "barrier", lambda: waited.append(True))
    loaded = load_url(f"{url}/{name}", model_dir=tmp_path / "cache")
    assert torch.equal(loaded["weight"], torch.arange(3.0))
    assert waited == [True]


def test_without_a_server_the_error_names_the_url_the_place_and_the_random_start(tmp_path):
    with pytest.raises(CheckpointError) as caught:
        load_url("http://127.0.0.1:9/net-01234567.pth", model_dir=tmp_path, progress=False)
    told = str(caught.value)
    assert told.startswith("http://127.0.0.1:9/net-01234567.pth: ")
    assert str(tmp_path / "net-01234567.pth") in told
    assert "--cfg-options model.pretrained=None model.backbone.init_cfg=None" in told
    assert "\n" not in told
    assert not list(tmp_path.iterdir())


def test_a_missing_page_is_told_like_a_missing_network(site, tmp_path):
    with pytest.raises(CheckpointError, match=r"cannot be downloaded \(Not Found\)|File not found"):
        load_url(f"{site[0]}/nothing.pth", model_dir=tmp_path, progress=False)


def test_half_a_file_in_the_cache_is_told_with_its_size(tmp_path):
    name = publish(tmp_path, {"weight": torch.zeros(500)})
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match=f"half a file .{len(whole) // 2} bytes.*Fix: delete"):
        load_url(f"http://127.0.0.1:9/{name}", model_dir=tmp_path)


def test_a_download_that_is_not_what_its_name_promises_is_not_kept(site, tmp_path):
    url, folder = site
    (folder / "net-00000000.pth").write_bytes(b"an error page")
    with pytest.raises(CheckpointError, match="not what its name promises"):
        load_url(f"{url}/net-00000000.pth", model_dir=tmp_path / "cache", progress=False)
    assert not list((tmp_path / "cache").iterdir())


class Canary:
    def __reduce__(self):
        return (print, ("a checkpoint ran code",))


def test_a_download_that_would_run_code_is_refused(site, tmp_path, capsys):
    url, folder = site
    name = publish(folder, {"weight": Canary()})
    with pytest.raises(CheckpointError, match="could run code"):
        load_url(f"{url}/{name}", model_dir=tmp_path / "cache", progress=False)
    assert "ran code" not in capsys.readouterr().out


def test_init_cfg_goes_through_it(site, tmp_path, restored, monkeypatch):
    url, folder = site
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    look_after_pretrained_weights()

    class Net(BaseModule):
        def __init__(self, init_cfg):
            super().__init__(init_cfg)
            self.conv = nn.Conv2d(1, 1, 1, bias=False)

    name = publish(folder, {"conv.weight": torch.full((1, 1, 1, 1), 7.0)})
    net = Net({"type": "Pretrained", "checkpoint": f"{url}/{name}"})
    net.init_weights()
    assert net.conv.weight.item() == 7
    with pytest.raises(CheckpointError, match="cannot be downloaded"):
        missing = "http://127.0.0.1:9/net-01234567.pth"
        Net({"type": "Pretrained", "checkpoint": missing}).init_weights()


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("torchvision://resnet51", "torchvision://resnet50"),
        ("open-mmlab://resnet50_v1x", "open-mmlab://resnet50_v1c"),
    ],
)
def test_a_wrong_name_gets_its_nearest(name, near, restored):
    look_after_pretrained_weights()
    with pytest.raises(CheckpointError, match=f"knows no weights of this name.*{near}"):
        checkpoint.CheckpointLoader.load_checkpoint(name, map_location="cpu")


@pytest.mark.parametrize("prefix", [None, "net."])
def test_weights_that_fit_nowhere_are_no_random_start(tmp_path, restored, prefix):
    """A checkpoint of MoCo or of a segmentor, named as it is: its names begin with backbone."""

    class Net(BaseModule):
        def __init__(self, init_cfg):
            super().__init__(init_cfg)
            self.fc = nn.Linear(2, 1)

    def net(content):
        torch.save({f"{prefix or ''}{k}": v for k, v in content.items()}, tmp_path / "w.pth")
        path = str(tmp_path / "w.pth")
        return Net({"type": "Pretrained", "checkpoint": path, "prefix": prefix})

    for _ in range(2):  # a process may run two tools
        look_after_pretrained_weights()
    own = Net(None).state_dict()
    for content in ({f"backbone.{k}": v for k, v in own.items()}, {"fc.weight": torch.ones(5, 5)}):
        with pytest.raises(CheckpointError, match=r"w\.pth: none of its \d tensors has the name"):
            net(content).init_weights()
    wrong = net({"fc.bias": torch.ones(1)})
    wrong.init_cfg["prefix"] = "web."
    with pytest.raises(CheckpointError, match=r"w\.pth: none of its tensors is under 'web\.'"):
        wrong.init_weights()
    part = net({"fc.bias": torch.ones(1)})
    part.init_weights()
    assert part.fc.bias == 1
