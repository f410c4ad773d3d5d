"""Layer-wise relevance propagation with the epsilon rule, written out layer by layer.

Batch normalisation is folded into the neighbouring layer first. What remains is made of few kinds of layers,
and each hands the relevance of its output down to its input.
"""

from collections.abc import Callable
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ecgkit.explain.grad_cam import targets
from ecgkit.models.heads import AveragePool, ConcatPool

__all__ = ["fold_batch_norm", "lrp"]

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
            blocks (with ``main`` or ``branch``, and ``shortcut``). It is not changed.
        x: Standardised signals, shape (B, leads, T).
        target: Class to explain: a number, one number per record, shape (B,), or None for the predicted one.
        epsilon: Stabiliser of the rule, at least 0.

    Returns:
        Relevance, positive and negative, shape (B, leads, T).

    Raises:
        ValueError: If a layer is of another kind, `target` does not fit, or `epsilon` is negative.

    Source:
        Bach et al., "On pixel-wise explanations for non-linear classifier decisions by layer-wise relevance
        propagation" (2015), Eq. (58); PTB-XL benchmark, section IV-D: epsilon = 0.1.

    >>> network = nn.Sequential(nn.Flatten(), nn.Linear(3, 1, bias=False))
    >>> _ = network[1].weight.data.copy_(torch.tensor([[1.0, 2.0, -1.0]]))
    >>> lrp(network, torch.tensor([[[3.0, 1.0, 0.0]]]), 0, epsilon=0.0)
    tensor([[[3., 2., -0.]]])
    """
    if epsilon < 0:
        raise ValueError(f"epsilon is {epsilon}; it must be at least 0")
    plain = fold_batch_norm(model)
    with torch.enable_grad():
        logits, back = _forward(plain, x.detach(), epsilon)
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
        ValueError: If a batch normalisation has neither neighbour.
    """
    model = deepcopy(model).eval()
    if isinstance(model, nn.Sequential):
        return _folded(model)
    body, head = getattr(model, "body", None), getattr(model, "head", None)
    if not isinstance(body, nn.Module) or not isinstance(head, nn.Module):
        raise ValueError(f"{type(model).__name__} has no body and head; see ecgkit.models.heads.Classifier")
    return _folded(nn.Sequential(*_layers(body), *_layers(head)))


def _layers(module: nn.Module) -> list[nn.Module]:
    return list(module) if isinstance(module, nn.Sequential) else [module]


def _folded(sequence: nn.Sequential) -> nn.Sequential:
    done: list[nn.Module] = []
    waiting: nn.BatchNorm1d | None = None  # for the linear layer that follows
    for layer in sequence:
        if isinstance(layer, nn.Sequential):
            layer = _folded(layer)
        elif branch := _branch(layer):
            for name in (branch, "shortcut"):
                part = getattr(layer, name)
                setattr(layer, name, _folded(part) if isinstance(part, nn.Sequential) else part)
        if isinstance(layer, nn.BatchNorm1d):
            if done and isinstance(done[-1], nn.Conv1d):
                done[-1] = fuse_conv_bn_eval(done[-1], layer)
            else:
                waiting = layer
        elif waiting is not None and isinstance(layer, nn.Linear):
            done.append(_into_linear(waiting, layer))
            waiting = None
        elif waiting is not None and not isinstance(layer, nn.Dropout):
            break
        else:
            done.append(layer)
    if waiting is not None:
        raise ValueError("a batch normalisation is neither behind a convolution nor before a linear layer")
    return nn.Sequential(*done).eval()


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
