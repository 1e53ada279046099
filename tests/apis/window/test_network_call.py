"""NetworkCall: precision, and how often and on what the compiler is called."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mmrs.apis.window.network_call import NetworkCall
from mmrs.errors import ConfigError, EnvironmentError, MmrsError


class Segmentor(nn.Module):
    """A network with MMSegmentation's way in; remembers the batches that it saw."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.types: list[torch.dtype] = []

    def encode_decode(self, inputs: torch.Tensor, metas: list[dict]) -> torch.Tensor:
        assert len(inputs) == len(metas)
        logits = self.conv(inputs)
        if not torch.compiler.is_compiling():
            self.types.append(logits.dtype)
        return logits


def call(network: NetworkCall, inputs: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return network(inputs, [{"img_shape": inputs.shape[2:]} for _ in inputs])


@pytest.mark.parametrize(
    ("amp", "inner", "digits"),
    [(None, torch.float32, 0), ("bf16", torch.bfloat16, 0.03), ("fp16", torch.float16, 0.004)],
)
def test_half_precision_is_inside_only(amp, inner, digits) -> None:
    model = Segmentor()
    inputs = torch.randn(2, 3, 8, 8)
    found = call(NetworkCall(model, amp=amp), inputs)
    assert model.types == [inner]
    assert found.dtype == torch.float32
    exact = model.conv(inputs)
    assert (found - exact).abs().max() <= digits
    assert torch.equal(found, exact) == (amp is None)
    with pytest.raises(ConfigError, match="amp must be one of bf16, fp16, got 'fp8'"):
        NetworkCall(model, amp="fp8")


def test_batches_that_are_not_full_are_filled_up_and_compile_nothing_anew(monkeypatch) -> None:
    from torch._dynamo.testing import CompileCounter

    counter, compile = CompileCounter(), torch.compile
    monkeypatch.setattr(torch, "compile", lambda f, **kw: compile(f, backend=counter, **kw))
    model = Segmentor()
    network = NetworkCall(model, compile=True)
    for count in (4, 1, 3, 4):
        inputs = torch.randn(count, 3, 8, 6)
        found = call(network, inputs)
        assert found.shape == (count, 4, 8, 6)
        torch.testing.assert_close(found, model.conv(inputs))
    frames = counter.frame_count
    assert frames > 0
    call(network, torch.randn(2, 3, 8, 6))
    assert counter.frame_count == frames
    # another size of windows is another program
    inputs = torch.randn(2, 3, 6, 8)
    torch.testing.assert_close(call(network, inputs), model.conv(inputs))
    assert counter.frame_count > frames
    torch._dynamo.reset()


def test_a_compiler_that_is_missing_is_told(monkeypatch) -> None:
    def failing(graph, inputs):
        raise RuntimeError("no compiler\nand much more")

    compile = torch.compile
    monkeypatch.setattr(torch, "compile", lambda f, **kw: compile(f, backend=failing, **kw))
    with pytest.raises(EnvironmentError, match=r"cannot be compiled: .*Fix: leave it out") as told:
        call(NetworkCall(Segmentor(), compile=True), torch.randn(1, 3, 4, 4))
    assert "\n" not in str(told.value)
    torch._dynamo.reset()


def test_a_network_that_halves_its_sides_gets_windows_padded_to_what_it_takes() -> None:
    class UNet(Segmentor):
        """Halves twice and puts the halves together again, as MMSegmentation's does."""

        def encode_decode(self, inputs: torch.Tensor, metas: list[dict]) -> torch.Tensor:
            down = nn.functional.max_pool2d(inputs, 2)
            lower = nn.functional.max_pool2d(down, 2)
            up = nn.functional.interpolate(lower, scale_factor=2)
            assert up.shape == down.shape, f"{up.shape} and {down.shape}"
            up = nn.functional.interpolate(up + down, scale_factor=2)
            return super().encode_decode(up + inputs, metas)

    model = UNet()
    network = NetworkCall(model)
    for height, width in ((8, 8), (5, 7), (1, 1), (8, 6), (12, 4)):
        inputs = torch.randn(2, 3, height, width)
        padded = nn.functional.pad(inputs, (0, -width % 4, 0, -height % 4))
        expected = model.encode_decode(padded, [{}, {}])[..., :height, :width]
        torch.testing.assert_close(call(network, inputs), expected, rtol=0, atol=0)


def test_what_came_before_does_not_change_an_answer() -> None:
    class AtLeast(Segmentor):
        """Takes any size from 16 px on, such as one with reflecting borders."""

        def encode_decode(self, inputs: torch.Tensor, metas: list[dict]) -> torch.Tensor:
            if min(inputs.shape[2:]) < 16:
                raise RuntimeError("padding size should be less than the input")
            return super().encode_decode(inputs, metas)

    model, inputs = AtLeast(), torch.randn(1, 3, 20, 21)
    network = NetworkCall(model)
    assert call(network, inputs[..., :5, :5]).shape == (1, 4, 5, 5)
    assert (network.divisor_of(5, 5), network.divisor_of(20, 21)) == (16, 1)
    torch.testing.assert_close(call(network, inputs), model.conv(inputs), rtol=0, atol=0)


def test_a_network_that_takes_no_window_is_told_in_one_line() -> None:
    class Broken(Segmentor):
        def encode_decode(self, inputs: torch.Tensor, metas: list[dict]) -> torch.Tensor:
            raise RuntimeError("The size of tensor a must match\nand much more")

    for height, width in ((8, 8), (5, 7), (64, 64)):
        told = (
            rf"fails on 2 windows of {height} x {width} px \(RuntimeError: The size .*match\)\. Fix"
        )
        with pytest.raises(MmrsError, match=told) as error:
            call(NetworkCall(Broken()), torch.randn(2, 3, height, width))
        assert isinstance(error.value.__cause__, RuntimeError)
