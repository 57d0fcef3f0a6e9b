"""Loads weights into a model, with an error of one line when they are those of another model."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn


def load_weights(model: nn.Module, weights: Mapping[str, Tensor], *, assign: bool = False) -> None:
    """Load weights into a model, as `load_state_dict` does.

    assign: make the tensors the parameters, instead of copying their values. Raises `ValueError` with the first name
    whose shape differs; the message of `load_state_dict` has a line for every tensor.
    """
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    for name in [*expected, *found]:
        if found.get(name) != expected.get(name):
            shapes = [
                f"of shape {shape}" if shape is not None else "absent"
                for shape in (found.get(name), expected.get(name))
            ]
            raise ValueError(f"{name} is {shapes[0]}, expected {shapes[1]}")
    model.load_state_dict(weights, assign=assign)
