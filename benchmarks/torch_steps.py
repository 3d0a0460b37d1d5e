"""The training steps of `emojax train` in PyTorch: the same losses, networks and optimizers.

A step takes a batch of NumPy arrays, as ours does, and returns its loss on the device. With "bfloat16", autocast runs the
convolutions in bfloat16 on channels_last arrays; parameters, norms and losses stay float32, as ours do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from benchmarks.peers import torch_function, torch_parameters
from emojax.losses.terms import CONTENT_LAYER, STYLE_LAYERS
from emojax.nets.classifier_config import VGG16_DEPTHS
from emojax.nets.vgg16 import LAYERS
from emojax.train.faces.config import ClassifierTraining
from emojax.train.optimizer import OptimizerConfig
from emojax.train.styles.config import StyleTraining

Step = Callable[[Mapping[str, np.ndarray]], Any]


def style_step(config: StyleTraining, constants: Mapping[str, Any], params: Any, device: str, compiled: bool) -> Step:
    """See `emojax.train.styles.training.make_step`; `constants` and `params` are its own, as NumPy arrays."""
    low = config.dtype == "bfloat16"
    pixels = config.resolved_model().patch ** 2
    parameters = torch_parameters(params, slice(None))
    for layer in parameters.values():
        for part, value in layer.items():
            layer[part] = _place(value, device, low).requires_grad_()
    vgg = {
        name: (
            _place(torch.tensor(layer["kernel"].transpose(3, 2, 0, 1).copy()), device, low),
            torch.tensor(layer["bias"], device=device),
        )
        for name, layer in constants["vgg"].items()
        if name != "mean"
    }
    mean = torch.tensor(constants["vgg"]["mean"], device=device)[:, None, None]
    grams = {name: torch.tensor(rows, device=device) for name, rows in constants["paintings"]["grams"].items()}
    apply, weights = torch_function(config.resolved_model()), config.loss
    strengths = torch.tensor(weights.strengths or [1.0] * len(config.resolved_model().style_names), device=device)

    def features(photos: Any, last: str) -> dict[str, Any]:
        x, found = 255 * photos - mean, {}
        for layer in LAYERS:
            kernel, bias = vgg[f"conv{layer}"]
            x = functional.relu(functional.conv2d(x, kernel, bias, padding=1))
            if (name := f"relu{layer}") in (*STYLE_LAYERS, CONTENT_LAYER):
                found[name] = x
                if name == last:
                    break
                x = functional.max_pool2d(x, 2)
        return found

    def loss_of(photos: Any, styles: Any) -> Any:
        photos = photos.permute(0, 3, 1, 2).float() / 255
        chosen = {
            name: {part: value[styles] if part in ("scale", "shift") else value for part, value in layer.items()}
            for name, layer in parameters.items()
        }
        chosen["out"] = _make_even(chosen["out"], pixels)
        with torch.autocast(device, torch.bfloat16, enabled=low):
            stylized = apply(chosen, photos).float()
            found = features(stylized, STYLE_LAYERS[-1])
            with torch.no_grad():
                target = features(photos, CONTENT_LAYER)[CONTENT_LAYER]
            style = sum(_error(_gram(found[name]), grams[name][styles]) for name in STYLE_LAYERS) / len(STYLE_LAYERS)
        content = _error(found[CONTENT_LAYER], target)
        across = (stylized[..., 1:] - stylized[..., :-1]).square().mean((1, 2, 3))
        down = (stylized[:, :, 1:] - stylized[:, :, :-1]).square().mean((1, 2, 3))
        loss = weights.content * content + weights.style * strengths[styles] * style + weights.tv * (across + down)
        return loss.mean()

    leaves = [value for layer in parameters.values() for value in layer.values()]
    names = ("photo", "style")
    return _step(loss_of, names, leaves, config.optimizer, device, compiled)


def _gram(x: Any) -> Any:
    """See `emojax.losses.terms.gram_matrix` and `interior`."""
    drop = min(4, min(x.shape[2:]) // 16)
    x = x[:, :, drop : x.shape[2] - drop, drop : x.shape[3] - drop].flatten(2)
    x = x / x.shape[2] ** 0.5
    return torch.bmm(x, x.transpose(1, 2)).float()


def _error(value: Any, target: Any) -> Any:
    """See `emojax.losses.terms.relative_error`."""
    value, target = value.float().flatten(1), target.float().flatten(1)
    return (value - target).square().sum(1) / target.square().sum(1)


def _make_even(layer: Mapping[str, Any], pixels: int) -> dict[str, Any]:
    """See `emojax.nets.stylizer.remove_checkerboard`."""
    kernels, biases = (layer[part].unflatten(0, (pixels, 3)) for part in ("kernel", "bias"))
    sums = kernels.mean((-2, -1), keepdim=True)
    kernels = kernels + (sums.mean(0, keepdim=True) - sums)
    return {"kernel": kernels.flatten(0, 1), "bias": biases.mean(0, keepdim=True).expand(pixels, 3).flatten()}


def classifier_step(config: ClassifierTraining, variables: Mapping[str, Any], device: str, compiled: bool) -> Step:
    """See `emojax.train.faces.training.make_step`; only the network vgg16 and the optimizer, without augmentation."""
    low, model = config.dtype == "bfloat16", config.model
    modules: list[torch.nn.Module] = []
    channels = model.channels
    for block, width in enumerate(model.widths):
        if block:
            modules.append(torch.nn.MaxPool2d(2))
        for _ in range(VGG16_DEPTHS[block]):
            modules += [torch.nn.Conv2d(channels, width, 3, padding=1), torch.nn.ReLU()]
            channels = width
        if block >= len(model.widths) - 2:
            modules.append(torch.nn.BatchNorm2d(width, momentum=0.1))
    network = torch.nn.Sequential(
        *modules, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(channels, 7)
    )
    trained = variables["params"]
    convolutions = [layer for name, layer in sorted(trained.items()) if name.startswith("conv")]
    linears = [layer for name, layer in trained.items() if name.startswith("Dense")]
    weighted = [module for module in network if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear))]
    with torch.no_grad():
        for module, layer in zip(weighted, [*convolutions, *linears], strict=True):
            kernel = np.asarray(layer["kernel"])
            module.weight.copy_(torch.tensor(kernel.transpose(3, 2, 0, 1) if kernel.ndim == 4 else kernel.T))
            module.bias.copy_(torch.tensor(np.asarray(layer["bias"])))
    network.to(device, memory_format=torch.channels_last if low else torch.contiguous_format)

    def loss_of(faces: Any, labels: Any) -> Any:
        x = faces.permute(0, 3, 1, 2).float() / 127.5 - 1
        if model.channels == 1:
            x = 0.299 * x[:, :1] + 0.587 * x[:, 1:2] + 0.114 * x[:, 2:]
        with torch.autocast(device, torch.bfloat16, enabled=low):
            logits = network(x).float()
        return functional.cross_entropy(logits, labels)

    return _step(loss_of, ("image", "label"), list(network.parameters()), config.optimizer, device, compiled)


def _place(value: Any, device: str, channels_last: bool) -> Any:
    value = value.to(device)
    return value.to(memory_format=torch.channels_last) if channels_last and value.ndim == 4 else value


def _step(
    loss_of: Callable[..., Any],
    names: tuple[str, ...],
    leaves: list[Any],
    config: OptimizerConfig,
    device: str,
    compiled: bool,
) -> Step:
    """A training step that minimizes `loss_of` the parts `names` of a batch."""
    optimizer = torch.optim.Adam(leaves, lr=config.learning_rate, fused=device == "cuda")
    function: Any = torch.compile(loss_of) if compiled else loss_of

    def step(batch: Mapping[str, np.ndarray]) -> Any:
        optimizer.zero_grad(set_to_none=True)
        loss = function(*(torch.from_numpy(np.asarray(batch[name])).to(device) for name in names))
        loss.backward()
        if config.clip_norm:
            torch.nn.utils.clip_grad_norm_(leaves, config.clip_norm)
        optimizer.step()
        return loss.detach()

    return step
