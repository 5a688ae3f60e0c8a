"""The stylizer's shapes and sizes, and the configurations that describe it."""

from dataclasses import asdict, replace
from typing import Any

import pytest
import torch
from torch import nn

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.train.config import (
    NETWORK_PRESETS,
    LossWeights,
    MotionConfig,
    NetworkConfig,
    TrainConfig,
    parse_network,
)
from artmirror.train.networks.stylizer import Stylizer

TINY = NetworkConfig(channels=(4, 6, 8), blocks=1)


# Counted by hand: a convolution has in * out * k * k weights and out biases, a normalisation two numbers a channel.
# Johnson's is the number of the well-known PyTorch example of that network.
@pytest.mark.parametrize(
    ("preset", "parameters"),
    [("huang", 246_963), ("huang-deconv", 246_963), ("johnson", 1_679_235), ("reconet", 3_098_307)],
)
def test_presets_have_the_published_number_of_parameters(preset: str, parameters: int) -> None:
    network = Stylizer(NETWORK_PRESETS[preset])
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters


@pytest.mark.parametrize("preset", sorted(NETWORK_PRESETS))
def test_presets_keep_the_size(preset: str) -> None:
    with torch.no_grad():
        painted = Stylizer(NETWORK_PRESETS[preset]).eval()(torch.rand(1, 3, 65, 70))
    assert painted.shape == (1, 3, 65, 70)


@pytest.mark.parametrize("upsampling", ["nearest", "deconv"])
@pytest.mark.parametrize("size", [(64, 64), (65, 79), (79, 65), (66, 67), (643, 361)])
def test_any_size_is_kept(size: tuple[int, int], upsampling: Any) -> None:
    config = NetworkConfig(channels=(4, 6, 8), blocks=1, upsampling=upsampling)
    with torch.no_grad():
        painted = Stylizer(config)(torch.rand(2, 3, *size))
    assert painted.shape == (2, 3, *size)
    assert painted.dtype == torch.float32


def test_the_crop_takes_the_right_and_the_bottom() -> None:
    network = Stylizer(TINY)
    whole: list[torch.Tensor] = []
    network.head.register_forward_hook(lambda module, inputs, output: whole.append(output))
    with torch.no_grad():
        painted = network(torch.rand(1, 3, 65, 67))
    assert whole[0].shape == (1, 3, 68, 68)
    torch.testing.assert_close(painted, 0.5 * torch.tanh(whole[0][:, :, :65, :67]) + 0.5)


def test_output_spans_zero_to_one_and_no_more() -> None:
    torch.manual_seed(0)
    network = Stylizer(TINY)
    network.head.weight.data *= 1000
    with torch.no_grad():
        painted = network(torch.rand(1, 3, 64, 64))
    assert painted.min() == 0
    assert painted.max() == 1


def test_output_is_float32_and_of_fine_steps_under_bf16_autocast() -> None:
    torch.manual_seed(0)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        painted = Stylizer(TINY)(torch.rand(1, 3, 64, 64))
    assert painted.dtype == torch.float32
    # bf16 has 8 bits of mantissa: were the end in bf16, all of the outputs would survive being rounded to it.
    assert (painted != painted.bfloat16().float()).any()


def test_a_frame_does_not_depend_on_its_neighbours_in_the_batch() -> None:
    torch.manual_seed(0)
    network = Stylizer(TINY).eval()
    frames = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(network(frames)[:1], network(frames[:1]), rtol=0, atol=1e-5)


def test_only_deconv_transposes_convolutions() -> None:
    kinds = {
        preset: sum(isinstance(layer, nn.ConvTranspose2d) for layer in Stylizer(config).modules())
        for preset, config in NETWORK_PRESETS.items()
    }
    assert {preset for preset, transposed in kinds.items() if transposed} == {"huang-deconv"}
    assert kinds["huang-deconv"] == 2


@pytest.mark.parametrize(("norm", "kind"), [("instance", nn.InstanceNorm2d), ("batch", nn.BatchNorm2d)])
def test_norm_is_what_was_asked_for(norm: Any, kind: type[nn.Module]) -> None:
    layers = list(Stylizer(NetworkConfig(channels=(4, 6, 8), blocks=1, norm=norm)).modules())
    assert sum(isinstance(layer, kind) for layer in layers) == 7  # stem 1, down 2, block 2, up 2
    assert sum(isinstance(layer, nn.InstanceNorm2d | nn.BatchNorm2d) for layer in layers) == 7


@pytest.mark.parametrize("padding", ["reflect", "replicate", "zeros"])
def test_padding_is_what_was_asked_for(padding: Any) -> None:
    network = Stylizer(NetworkConfig(channels=(4, 6, 8), blocks=1, padding=padding))
    modes = {layer.padding_mode for layer in network.modules() if isinstance(layer, nn.Conv2d)}
    assert modes == {padding}


def test_separable_blocks_mix_channels_in_their_1x1_convolutions_alone() -> None:
    network = Stylizer(NetworkConfig(channels=(4, 6, 8), blocks=2, block_conv="separable", padding="replicate"))
    shapes = [tuple(layer.weight.shape) for layer in network.blocks.modules() if isinstance(layer, nn.Conv2d)]
    assert shapes == [(8, 1, 3, 3), (8, 8, 1, 1)] * 4
    plain = Stylizer(NetworkConfig(channels=(4, 6, 8), blocks=2))
    saved = sum(8 * 8 * 9 - 8 * 9 - 8 * 8 for _ in range(4))
    assert sum(p.numel() for p in plain.parameters()) - sum(p.numel() for p in network.parameters()) == saved
    with torch.no_grad():
        assert network(torch.rand(1, 3, 65, 70)).shape == (1, 3, 65, 70)


@pytest.mark.parametrize("block_conv", ["full", "separable"])
def test_zeros_in_the_blocks_leave_the_padding_elsewhere(block_conv: Any) -> None:
    config = NetworkConfig(
        channels=(4, 6, 8), blocks=2, padding="replicate", block_padding="zeros", block_conv=block_conv
    )
    network = Stylizer(config)
    padded = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d) and max(layer.padding) > 0]
    inside = {layer for layer in network.blocks.modules() if layer in padded}
    assert len(inside) == 4
    assert {layer.padding_mode for layer in inside} == {"zeros"}
    assert {layer.padding_mode for layer in padded if layer not in inside} == {"replicate"}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"channels": (16, 32)}, "three channel counts"),
        ({"channels": (16, 0, 48)}, "three channel counts"),
        ({"blocks": -1}, "blocks >= 0"),
        ({"end_kernel": 4}, "odd end kernel"),
        ({"end_kernel": -3}, "odd end kernel"),
        ({"fold": 3}, "a fold of 1, 2, 4"),
        ({"padding": "wrap"}, "padding is 'wrap'; wanted one of reflect, replicate, zeros"),
        ({"norm": "layer"}, "wanted one of instance, batch"),
        ({"upsampling": "bilinear"}, "wanted one of nearest, deconv"),
        ({"block_conv": "grouped"}, "block_conv is 'grouped'; wanted one of full, separable"),
    ],
)
def test_what_makes_no_network_is_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ArtmirrorError, match=told):
        NetworkConfig(**changes)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"steps": 0}, "steps 0"),
        ({"pairs": 0}, "pairs 0"),
        ({"crop": 63}, "crop 63"),
        ({"painting_size": 63}, "style size 63"),
        ({"peak_learning_rate": 0.0}, "learning rate 0"),
        ({"peak_learning_rate": float("nan")}, "learning rate nan"),
        ({"peak_learning_rate": float("inf")}, "learning rate inf"),
        ({"gradient_clip": 0.0}, "gradient clip 0"),
        ({"precision": "int8"}, "wanted one of fp32, bf16, fp16"),
        ({"seed": -1}, "seed -1"),
        ({"seed": 1 << 32}, "seed 4294967296"),
    ],
)
def test_what_makes_no_run_is_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ArtmirrorError, match=told):
        TrainConfig(painting_path="a.png", photos_path="photos", **changes)


@pytest.mark.parametrize("config", [TINY, *NETWORK_PRESETS.values()])
def test_network_config_survives_the_round_trip(config: NetworkConfig) -> None:
    assert NetworkConfig.from_dict(asdict(config)) == config
    assert NetworkConfig.from_dict({**asdict(config), "channels": list(config.channels)}) == config  # as JSON has it


def test_train_config_survives_the_round_trip() -> None:
    config = TrainConfig(
        painting_path="a.png",
        photos_path="photos",
        vgg_path="vgg.pth",
        preset="johnson",
        network=NETWORK_PRESETS["johnson"],
        weights=LossWeights(1, 2, 3, 4),
        motion=MotionConfig(1, 2, 3, 4, 5),
        precision="fp32",
        seed=5,
    )
    assert TrainConfig.from_dict(config.to_dict()) == config


@pytest.mark.parametrize("change", [{"colour": "blue"}, {"weights": {"beauty": 1}}, {"motion": None}])
def test_a_configuration_of_another_version_is_refused(change: dict[str, Any]) -> None:
    values = TrainConfig(painting_path="a.png", photos_path="photos").to_dict()
    with pytest.raises(ArtmirrorError, match="does not fit this version"):
        TrainConfig.from_dict({**values, **change})


@pytest.mark.parametrize(
    "values", [{}, {"channels": 5}, {"channels": [4, 6, 8], "depth": 3}, {"channels": ["a", "b", "c"]}]
)
def test_a_network_of_another_version_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ArtmirrorError, match="does not fit this version"):
        NetworkConfig.from_dict(values)


class TestGrain:
    def test_an_even_frame_gets_strokes_that_stand_still(self) -> None:
        torch.manual_seed(0)
        config = NetworkConfig(channels=(4, 6, 8), blocks=1)
        network = Stylizer(config).eval()
        even = torch.zeros(1, 3, 96, 80)
        with torch.no_grad():
            painted = network(even)
            assert painted[0, 0, 24:-24, 24:-24].std() > 1e-3
            assert torch.equal(painted, network(even))
            network.grain = torch.nn.Identity()
            assert network(even)[0, 0, 24:-24, 24:-24].std() < 1e-5

    def test_it_is_as_strong_as_configured_and_repeats(self) -> None:
        stylizer = Stylizer(NetworkConfig(channels=(4, 6, 8), blocks=1, grain=0.02))
        grain = stylizer.grain(torch.zeros(1, 3, 300, 520))
        assert grain.std().item() == pytest.approx(0.02, rel=0.02)
        assert torch.equal(grain[:, 0], grain[:, 1])
        assert torch.equal(grain[..., :40, :18], grain[..., 251:291, 502:520])

    def test_a_smaller_frame_has_the_same_grain(self) -> None:
        stylizer = Stylizer(NetworkConfig(channels=(4, 6, 8), blocks=1))
        large, small = (stylizer.grain(torch.zeros(1, 3, side, side)) for side in (300, 64))
        assert torch.equal(large[..., :64, :64], small)

    def test_it_is_no_weight_and_can_be_left_out(self) -> None:
        plain = Stylizer(NetworkConfig(channels=(4, 6, 8), blocks=1, grain=0.0))
        grained = Stylizer(NetworkConfig(channels=(4, 6, 8), blocks=1))
        assert plain.state_dict().keys() == grained.state_dict().keys()


def test_linear_output_is_cut_off_at_show_time_only() -> None:
    torch.manual_seed(0)
    network = Stylizer(replace(TINY, output="linear"))
    frame = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        network.head.weight *= 50
        free, shown = network.train()(frame), network.eval()(frame)
    assert free.min() < 0 < 1 < free.max()
    torch.testing.assert_close(shown, free.clamp(0, 1))


def test_a_preset_with_changes() -> None:
    changed = parse_network("huang", ["channels=8,12,16", "norm=batch", "blocks=2", "grain=0"])
    assert changed == NetworkConfig(channels=(8, 12, 16), norm="batch", blocks=2, grain=0.0)
    assert parse_network("johnson", []) == NETWORK_PRESETS["johnson"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("depth=3", "a network has no 'depth'; it has channels"),
        ("blocks=many", "blocks of a network is 'many'; wanted a value like 5"),
        ("channels=8,12", "is no network"),
        ("norm=layer", "norm is 'layer'; wanted one of instance, batch"),
        ("blocks", "blocks of a network is ''"),
    ],
)
def test_changes_that_make_no_network_are_refused(change: str, told: str) -> None:
    with pytest.raises(ArtmirrorError, match=told):
        parse_network("huang", [change])


class TestFold:
    @pytest.mark.parametrize("fold", [2, 4])
    @pytest.mark.parametrize("size", [(64, 64), (65, 66), (67, 71), (90, 101)])
    @pytest.mark.parametrize("padding", ["reflect", "replicate", "zeros"])
    def test_any_size_comes_back(self, fold: int, size: tuple[int, int], padding: Any) -> None:
        network = Stylizer(replace(TINY, fold=fold, padding=padding)).eval()
        with torch.no_grad():
            assert network(torch.rand(1, 3, *size)).shape == (1, 3, *size)

    @pytest.mark.parametrize(("fold", "convolutions"), [(1, 8), (2, 6), (4, 5)])
    def test_layers_at_large_sizes_are_left_out(self, fold: int, convolutions: int) -> None:
        network = Stylizer(replace(TINY, fold=fold))
        layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
        assert len(layers) == convolutions
        places: list[tuple[int, int]] = []
        for layer in layers:
            layer.register_forward_hook(lambda _, __, out: places.append(tuple(out.shape[2:])))
        network(torch.rand(1, 3, 64, 80))
        assert max(places) == {1: (64, 80), 2: (32, 40), 4: (32, 40)}[fold]
        assert places.count((16, 20)) == {1: 3, 2: 3, 4: 4}[fold]

    @pytest.mark.parametrize("fold", [2, 4])
    def test_the_stem_sees_half_a_square_beyond_its_own(self, fold: int) -> None:
        network = Stylizer(replace(TINY, fold=fold, grain=0.0))
        stem = network.stem[0]
        picture = torch.zeros(1, 3, 64, 64)
        before = stem(picture)
        picture[:, :, 32, 32] = 1  # the first pixel of a square: its own sees it, and those above and to the left
        rows, columns = (stem(picture) - before).abs().sum((0, 1)).nonzero().T
        square = 32 // fold
        assert sorted(set(rows.tolist())) == sorted(set(columns.tolist())) == [square - 1, square]

    @pytest.mark.parametrize("fold", [2, 4])
    def test_a_fresh_head_paints_squares_of_one_colour(self, fold: int) -> None:
        network = Stylizer(replace(TINY, fold=fold)).eval()
        with torch.no_grad():
            squares = network.head(torch.rand(1, TINY.channels[fold.bit_length() - 1], 9, 9))
        means = torch.nn.functional.avg_pool2d(squares, 2).repeat_interleave(2, 2).repeat_interleave(2, 3)
        torch.testing.assert_close(squares, means)

    @pytest.mark.parametrize("fold", [1, 2, 4])
    def test_colours_turn_round_at_both_ends(self, fold: int) -> None:
        torch.manual_seed(0)
        network = Stylizer(replace(TINY, fold=fold)).eval()
        frame = torch.rand(1, 3, 64, 64)
        with torch.no_grad():
            expected = network(frame).flip(1)
            for parameter, axis in network.colour_parameters():
                parameter.copy_(parameter.flip(axis))
            torch.testing.assert_close(network(frame.flip(1)), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("preset", ["huang", "lite", "nano"])
class TestMemory:
    def network(self, preset: str) -> Stylizer:
        torch.manual_seed(0)
        return Stylizer(replace(NETWORK_PRESETS[preset], memory=True)).eval()

    @torch.no_grad()
    def test_without_trust_it_paints_as_the_network_without(self, preset: str) -> None:
        network = self.network(preset)
        torch.nn.init.normal_(network.memory.entering().weight)
        frame, last = torch.rand(1, 3, 66, 70), torch.rand(1, 3, 66, 70)
        torch.testing.assert_close(network(frame, last, torch.zeros_like(frame)), network(frame))

    @torch.no_grad()
    def test_it_begins_as_a_fixed_mix_of_old_and_new(self, preset: str) -> None:
        network = self.network(preset)
        frame, last = torch.rand(1, 3, 66, 70), torch.rand(1, 3, 66, 70)
        mixed = 0.05 * network(frame) + 0.95 * last
        torch.testing.assert_close(network(frame, last, torch.ones_like(frame)), mixed)

    @torch.no_grad()
    def test_what_is_kept_goes_by_the_trust_in_each_pixel(self, preset: str) -> None:
        network = self.network(preset)
        frame, last = torch.rand(1, 3, 66, 70), torch.rand(1, 3, 66, 70)
        trust = torch.zeros_like(frame)
        trust[..., :35] = 0.5
        painted = network(frame, last, trust)
        torch.testing.assert_close(painted[..., :35], (0.525 * network(frame) + 0.475 * last)[..., :35])
        torch.testing.assert_close(painted[..., 35:], network(frame)[..., 35:])

    @torch.no_grad()
    def test_what_it_remembers_changes_how_it_paints(self, preset: str) -> None:
        network = self.network(preset)
        torch.nn.init.normal_(network.memory.entering().weight)
        frame = torch.rand(1, 3, 66, 70)
        painted = []
        for last in (torch.rand_like(frame), torch.rand_like(frame)):
            mixed = network(frame, last, torch.full_like(frame, 0.5))
            painted.append((mixed - 0.475 * last) / 0.525)  # without what is kept
        assert (painted[0] - painted[1]).abs().max() > 0.01
