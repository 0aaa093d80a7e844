"""The architectures written again with torch.nn, run once by hand to make tests/data/architectures.json.

    .venv-peers/bin/python scripts/torch_architectures.py

For each network of tests/architecture_rows.py, narrow and then shallow too: the outputs, and for the loss sum of
squares/(2n) its slope along a direction v and v^T H v, by autograd of autograd. Made with PyTorch 2.13 in float64.
Not a test: PyTorch is not needed to run them.
"""

import json
import sys
from pathlib import Path

import jax
import numpy as np
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

TESTS = Path(__file__).parent.parent / "tests"
sys.path.insert(0, str(TESTS))

from architecture_rows import NETWORKS, NUM_CLASSES, direction, images, point  # noqa: E402


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of images."""

    def forward(self, h):
        """The same, channels last and back."""
        return super().forward(h.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def _norm(layered, channels):
    return ChannelNorm(channels, eps=1e-6) if layered else nn.BatchNorm2d(channels)


class Block(nn.Module):
    """A residual block."""

    def __init__(self, sizes, kernels, stride, layered):
        super().__init__()
        self.act = nn.GELU() if layered else nn.ReLU()
        strides = [stride if kernel == 3 else 1 for kernel in kernels]
        strides = strides[: kernels.index(3) + 1] + [1] * (len(kernels) - kernels.index(3) - 1)
        layers = zip(sizes[:-1], sizes[1:], kernels, strides, strict=True)
        self.convs = nn.ModuleList(nn.Conv2d(i, o, k, s, k // 2, bias=False) for i, o, k, s in layers)
        self.norms = nn.ModuleList(_norm(layered, size) for size in sizes[1:])
        self.shortcut = nn.Sequential()
        if stride != 1 or sizes[0] != sizes[-1]:
            conv = nn.Conv2d(sizes[0], sizes[-1], 1, stride, bias=False)
            self.shortcut = nn.Sequential(conv, _norm(layered, sizes[-1]))

    def forward(self, h):
        """The block's output."""
        out = h
        for conv, norm in zip(self.convs[:-1], self.norms[:-1], strict=True):
            out = self.act(norm(conv(out)))
        return self.act(self.norms[-1](self.convs[-1](out)) + self.shortcut(h))


def residual(network, layered, deep):
    """ResNet-50 if `deep`, else ResNet-18 for small images."""
    act, first = nn.GELU() if layered else nn.ReLU(), network.channels[0]
    stem = nn.Conv2d(3, first, 7, 2, 3, bias=False) if deep else nn.Conv2d(3, first, 3, 1, 1, bias=False)
    modules = [stem, _norm(layered, first), act, *([nn.MaxPool2d(3, 2, 1)] if deep else [])]
    c_in = first
    for stage, (c, depth) in enumerate(zip(network.channels, network.depths, strict=True)):
        for number in range(depth):
            sizes, kernels = ([c_in, c, c, 4 * c], [1, 3, 1]) if deep else ([c_in, c, c], [3, 3])
            modules.append(Block(sizes, kernels, 2 if stage and not number else 1, layered))
            c_in = sizes[-1]
    return nn.Sequential(*modules, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(c_in, NUM_CLASSES))


class MixerBlock(nn.Module):
    """Tokens, then channels."""

    def __init__(self, tokens, dim, hidden_tokens, hidden_channels):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim, eps=1e-6), nn.LayerNorm(dim, eps=1e-6)
        self.tokens = nn.Sequential(nn.Linear(tokens, hidden_tokens), nn.GELU(), nn.Linear(hidden_tokens, tokens))
        self.channels = nn.Sequential(nn.Linear(dim, hidden_channels), nn.GELU(), nn.Linear(hidden_channels, dim))

    def forward(self, h):
        """The block's output."""
        h = h + self.tokens(self.norm1(h).transpose(1, 2)).transpose(1, 2)
        return h + self.channels(self.norm2(h))


class Patched(nn.Module):
    """Patches by a convolution, a class token and positions where asked, blocks, norm, head."""

    def __init__(self, dim, patch, blocks, tokens=None):
        super().__init__()
        self.stem, self.blocks = nn.Conv2d(3, dim, patch, patch), nn.ModuleList(blocks)
        self.norm, self.head = nn.LayerNorm(dim, eps=1e-6), nn.Linear(dim, NUM_CLASSES)
        self.classed = tokens is not None
        if tokens is not None:
            self.token, self.positions = nn.Parameter(torch.zeros(1, dim)), nn.Parameter(torch.zeros(tokens + 1, dim))

    def forward(self, x):
        """The outputs."""
        h = self.stem(x).flatten(2).transpose(1, 2)
        if self.classed:
            h = torch.cat([self.token.expand(len(h), 1, -1), h], 1) + self.positions
        for block in self.blocks:
            h = block(h)
        h = self.norm(h)
        return self.head(h[:, 0] if self.classed else h.mean(1))


def mixer(network):
    """MLP-Mixer."""
    sizes = network.num_tokens, network.dim, network.hidden_tokens, network.hidden_channels
    return Patched(network.dim, network.patch, [MixerBlock(*sizes) for _ in range(network.depth)])


def transformer(network):
    """ViT with PyTorch's own encoder layers."""
    settings = {"activation": "gelu", "batch_first": True, "norm_first": True, "layer_norm_eps": 1e-6, "dropout": 0.0}
    blocks = [
        nn.TransformerEncoderLayer(network.dim, network.heads, network.hidden, **settings) for _ in range(network.depth)
    ]
    return Patched(network.dim, network.patch, blocks, network.image[1] * network.image[2] // network.patch**2)


# Our parameters in PyTorch's order ------------------------------------------------------------------------------------


def _linear(p):
    return [p["weight"].T, p["bias"]]


def _norms(p):
    return [p["scale"], p["bias"]]


def _conv(p):
    return p["weight"].transpose(3, 2, 0, 1)


def of_residual(tree):
    """Convolutions of a block before its norms, then the shortcut."""
    out = [_conv(tree["stem"]), *_norms(tree["stem"]["norm"])]
    for block in [block for stage in tree["stages"] for block in stage]:
        out += [_conv(layer) for layer in block["layers"]]
        out += [part for layer in block["layers"] for part in _norms(layer["norm"])]
        if "shortcut" in block:
            out += [_conv(block["shortcut"]), *_norms(block["shortcut"]["norm"])]
    return out + _linear(tree["head"])


def _patches(p, patch):
    return [p["weight"].reshape(patch, patch, 3, -1).transpose(3, 2, 0, 1), p["bias"]]


def _unstacked(blocks):
    depth = len(jax.tree.leaves(blocks)[0])
    return [jax.tree.map(lambda leaf, i=i: leaf[i], blocks) for i in range(depth)]


def _both_norms(block):
    return [part for norm in block["norms"] for part in _norms(norm)]


def of_mixer(tree, patch):
    """Stem, blocks, norm, head."""
    out = _patches(tree["stem"], patch)
    for block in _unstacked(tree["blocks"]):
        layers = [*block["tokens"], *block["channels"]]
        out += _both_norms(block) + [part for layer in layers for part in _linear(layer)]
    return out + _norms(tree["norm"]) + _linear(tree["head"])


def of_transformer(tree, patch):
    """Token and positions first, as PyTorch lists a module's own parameters before those of its children."""
    out = [tree["token"], tree["positions"], *_patches(tree["stem"], patch)]
    for block in _unstacked(tree["blocks"]):
        heads = [block["attention"][name] for name in ("query", "key", "value")]
        out += [np.concatenate([h["weight"].T for h in heads]), np.concatenate([h["bias"] for h in heads])]
        out += _linear(block["attention"]["out"])
        out += [part for layer in block["perceptron"] for part in _linear(layer)] + _both_norms(block)
    return out + _norms(tree["norm"]) + _linear(tree["head"])


def _pair(name, network):
    if name.startswith("resnet"):
        return residual(network, "layered" in name, name == "resnet50"), of_residual
    make, of = (mixer, of_mixer) if name == "mixer" else (transformer, of_transformer)
    return make(network), lambda tree: of(tree, network.patch)


def _tensors(parts):
    return [torch.tensor(np.ascontiguousarray(part)) for part in parts]


def _inner(a, b):
    return torch.stack([(x * y).sum() for x, y in zip(a, b, strict=True)]).sum()


def numbers(name, network):
    """Outputs, slope and curvature along the direction."""
    module, of = _pair(name, network)
    module = module.double()
    params = list(module.parameters())
    with torch.no_grad():
        for param, value in zip(params, _tensors(of(point(network))), strict=True):
            assert param.shape == value.shape
            param.copy_(value)
    v = _tensors(of(direction(network)))
    with sdpa_kernel(SDPBackend.MATH):
        outputs = module(torch.tensor(images(network.image)))
        gradient = torch.autograd.grad(0.5 * (outputs**2).sum() / len(outputs), params, create_graph=True)
        slope = _inner(gradient, v)
        product = torch.autograd.grad(slope, params)
    return {"outputs": outputs.tolist(), "slope": slope.item(), "curvature": _inner(product, v).item()}


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    target = TESTS / "data" / "architectures.json"
    rows = {name: [numbers(name, row.tiny), numbers(name, row.shallow)] for name, row in NETWORKS.items()}
    target.write_text(json.dumps(rows) + "\n")
