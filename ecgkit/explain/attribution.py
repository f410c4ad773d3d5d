"""Attributions at the signal's own resolution: Integrated Gradients, and layer-wise relevance propagation.

For relevance propagation, batch normalisation is folded into the neighbouring layer first. What remains is
made of few kinds of layers, and each hands the relevance of its output down to its input.
"""

from collections.abc import Callable
from copy import deepcopy
from numbers import Real

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ecgkit.explain.cam import body_and_head, differentiable, explainable, targets
from ecgkit.models.heads import AveragePool, ConcatPool, check_sizes

__all__ = ["fold_batch_norm", "integrated_gradients", "lrp"]


def integrated_gradients(
    model: nn.Module, x: Tensor, target: int | Tensor | None = None, steps: int = 16
) -> Tensor:
    """Attribution of a class's logit to every value of a signal.

    The gradient is averaged along the straight line from a signal of zeros to `x`, at the middles of equal
    steps, and multiplied by `x`. Over all values the attributions sum to about what the logit changes on the
    way. It costs `steps` forward and backward passes. The model works in evaluation mode.

    Args:
        model: From signals to logits, of any precision.
        x: Standardised signals, shape (B, leads, T), so that zero is the mean of the training data. They are
            brought to the precision of the model.
        target: A class number, one per record, or None for the predicted class.
        steps: Number of steps.

    Returns:
        Attributions with their sign, shape (B, leads, T); float32, or float64 from a model in float64.

    Raises:
        ValueError: If `x` does not fit the model or is not finite, `target` does not fit, or `steps` is not
            a whole number of 1 or more.

    Source:
        Sundararajan et al., "Axiomatic attribution for deep networks" (2017), Eqs. (1) and (3).

    >>> linear = nn.Sequential(nn.Flatten(), nn.Linear(2, 1, bias=False))
    >>> _ = nn.init.constant_(linear[1].weight, 3.0)
    >>> integrated_gradients(linear, torch.tensor([[[1.0, -2.0]]]), steps=1).tolist()
    [[[3.0, -6.0]]]
    """
    check_sizes(steps=steps)
    x = explainable(model, x)
    with differentiable(model, x) as (network, x):
        with torch.no_grad():
            wanted = targets(target, network(x))
        total = torch.zeros_like(x)
        for step in range(steps):
            point = ((step + 0.5) / steps * x).requires_grad_()
            score = network(point).gather(1, wanted).sum()
            total += torch.autograd.grad(score, point)[0]
    return total / steps * x


# Layer-wise relevance propagation -----------------------------------------------------------------------

_TINY = 1e-9  # keeps 0 / 0 away where no epsilon is wanted
_WEIGHTED = (nn.Conv1d, nn.Linear)
_POOLS = (nn.AvgPool1d, nn.MaxPool1d, AveragePool, ConcatPool)
_SILENT = (nn.ReLU, nn.Dropout, nn.Identity)


def lrp(model: nn.Module, x: Tensor, target: int | Tensor | None = None, epsilon: float = 0.1) -> Tensor:
    """How much each sample of the signal contributed to the logit of a class.

    A layer with inputs a and outputs z_j = sum_i a_i w_ij + b_j, whose relevance is R_j, gives its inputs
    R_i = sum_j a_i w_ij R_j / (z_j + epsilon sign z_j).

    The epsilon rule holds for convolutions and linear layers. Pooling and the sum of a residual block hand on
    relevance by contribution, without epsilon. A bias keeps its share of the relevance, and so does epsilon.

    Args:
        model: A network of convolutions, batch normalisation, ReLU, pooling, linear layers and residual
            blocks (with ``main`` or ``branch``, and ``shortcut``). It is not changed. A model in half or
            brain floating point is followed in float32.
        x: Standardised signals, shape (B, leads, T).
        target: Class to explain: a number, one number per record, shape (B,), or None for the predicted one.
        epsilon: Stabiliser of the rule, at least 0.

    Returns:
        Relevance, positive and negative, shape (B, leads, T); float32, or float64 from a model in float64.

    Raises:
        ValueError: If a layer is of another kind, `x` does not fit the model or is not finite, `target` does
            not fit, or `epsilon` is negative or no number.

    Source:
        Bach et al., "On pixel-wise explanations for non-linear classifier decisions by layer-wise relevance
        propagation" (2015), Eq. (58); PTB-XL benchmark, section IV-D: epsilon = 0.1.

    >>> network = nn.Sequential(nn.Flatten(), nn.Linear(3, 1, bias=False))
    >>> _ = network[1].weight.data.copy_(torch.tensor([[1.0, 2.0, -1.0]]))
    >>> lrp(network, torch.tensor([[[3.0, 1.0, 0.0]]]), 0, epsilon=0.0)
    tensor([[[3., 2., -0.]]])
    """
    if not isinstance(epsilon, Real) or not 0 <= epsilon < float("inf"):
        raise ValueError(f"epsilon is {epsilon!r}; it must be a number of at least 0")
    x = explainable(model, x)
    with torch.inference_mode(False):
        low = x.dtype in (torch.float16, torch.bfloat16)
        plain = fold_batch_norm(deepcopy(model).float() if low else model)
    with differentiable(plain, x.float() if low else x) as (_, x):
        logits, back = _forward(plain, x, epsilon)
        start = torch.zeros_like(logits)
        index = targets(target, logits)
        start.scatter_(1, index, logits.gather(1, index))
        return back(start)


Backward = Callable[[Tensor], Tensor]


def _forward(module: nn.Module, x: Tensor, epsilon: float) -> tuple[Tensor, Backward]:
    """Output of a module, and the function that takes the relevance of the output to that of the input."""
    if isinstance(module, nn.Sequential):
        steps = []
        for child in module:
            x, back = _forward(child, x, epsilon)
            steps.append(back)
        return x, _chain(steps)
    if _branch(module):
        return _residual(module, x, epsilon)
    if isinstance(module, _SILENT):
        return module(x), lambda relevance: relevance
    if isinstance(module, nn.Flatten):
        shape = x.shape
        return module(x), lambda relevance: relevance.reshape(shape)
    if isinstance(module, _WEIGHTED):
        return _weighted(module, x, epsilon)
    if isinstance(module, _POOLS):
        return _weighted(module, x, 0.0)
    raise ValueError(f"no rule for a layer of type {type(module).__name__}")


def _chain(steps: list[Backward]) -> Backward:
    def back(relevance: Tensor) -> Tensor:
        for step in reversed(steps):
            relevance = step(relevance)
        return relevance

    return back


def _weighted(module: nn.Module, x: Tensor, epsilon: float) -> tuple[Tensor, Backward]:
    """A layer that is linear in its input, or pools it: the gradient has the weights."""
    inputs = x.detach().requires_grad_()
    output = module(inputs)

    def back(relevance: Tensor) -> Tensor:
        (gradient,) = torch.autograd.grad(output, inputs, relevance / _stable(output.detach(), epsilon))
        return inputs.detach() * gradient

    return output.detach(), back


def _residual(module: nn.Module, x: Tensor, epsilon: float) -> tuple[Tensor, Backward]:
    """The sum of a branch and a shortcut: each of the two gets what it contributed."""
    branch, shortcut = getattr(module, _branch(module)), module.shortcut
    assert isinstance(branch, nn.Module) and isinstance(shortcut, nn.Module)
    a, back_a = _forward(branch, x, epsilon)
    b, back_b = _forward(shortcut, x, epsilon)
    total = a + b

    def back(relevance: Tensor) -> Tensor:
        share = relevance / _stable(total, 0.0)
        return back_a(a * share) + back_b(b * share)

    return module(x).detach(), back  # with a ReLU behind the sum, where the block has one


def _branch(module: nn.Module) -> str:
    """Under which name a residual block holds its branch; empty for any other module."""
    names = ("main", "branch") if hasattr(module, "shortcut") else ()
    return next((name for name in names if hasattr(module, name)), "")


def _stable(z: Tensor, epsilon: float) -> Tensor:
    sign = torch.where(z < 0, -1.0, 1.0).to(z.dtype)
    return z + sign * max(epsilon, _TINY)


def fold_batch_norm(model: nn.Module) -> nn.Sequential:
    """A copy in evaluation mode without batch normalisation: its scale and shift go into its neighbour.

    Behind a convolution it is folded into that; before a linear layer (dropout between them does not count),
    into the linear layer.

    Args:
        model: A sequence of layers, or a network with ``body`` and ``head``.

    Raises:
        ValueError: If a batch normalisation has neither neighbour or keeps no running statistics.
    """
    model = deepcopy(model).eval()
    if isinstance(model, nn.Sequential):
        return _folded(model)
    body, head = body_and_head(model)
    return _folded(nn.Sequential(*_layers(body), *_layers(head)))


def _layers(module: nn.Module) -> list[nn.Module]:
    return list(module) if isinstance(module, nn.Sequential) else [module]


def _folded(sequence: nn.Sequential) -> nn.Sequential:
    layers: list[nn.Module] = []
    waiting: nn.BatchNorm1d | None = None  # for the linear layer that follows
    for layer in sequence:
        if isinstance(layer, nn.Sequential):
            layer = _folded(layer)
        elif branch := _branch(layer):
            for name in (branch, "shortcut"):
                part = getattr(layer, name)
                setattr(layer, name, _folded(part) if isinstance(part, nn.Sequential) else part)
        if isinstance(layer, nn.BatchNorm1d) and layer.running_mean is None:
            raise ValueError("a batch normalisation keeps no running statistics to fold")
        if isinstance(layer, nn.BatchNorm1d):
            if layers and isinstance(layers[-1], nn.Conv1d):
                layers[-1] = fuse_conv_bn_eval(layers[-1], layer)
            else:
                waiting = layer
        elif waiting is not None and isinstance(layer, nn.Linear):
            layers.append(_into_linear(waiting, layer))
            waiting = None
        elif waiting is not None and not isinstance(layer, nn.Dropout):
            break
        else:
            layers.append(layer)
    if waiting is not None:
        raise ValueError("a batch normalisation is neither behind a convolution nor before a linear layer")
    return nn.Sequential(*layers).eval()


def _into_linear(norm: nn.BatchNorm1d, linear: nn.Linear) -> nn.Linear:
    """One linear layer that does what both do."""
    assert norm.running_mean is not None and norm.running_var is not None
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    shift = norm.bias - norm.running_mean * scale
    both = nn.Linear(linear.in_features, linear.out_features).to(linear.weight)
    with torch.no_grad():
        both.weight.copy_(linear.weight * scale)
        both.bias.copy_(linear.weight @ shift + (linear.bias if linear.bias is not None else 0))
    return both
