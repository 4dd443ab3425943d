"""The networks of docs/science.md as one would write them in PyTorch: what our own are compared with.

Plain eager modules with a loop over the steps, as the published code has them, and the derivatives of gamma written by hand,
which is faster and smaller than leaving them to autograd. `compiled` has torch.compile make one kernel of a step instead, with
gamma left to it, as it then is faster. lstm, gru and tanh are torch.nn's own: the first runs in oneDNN.

Initial values follow docs/science.md, section 3 (those of torch.nn are its own), and are drawn from a generator of the caller's,
so that networks may be made in several threads.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

GAMMA = ("homogeneous", "heterogeneous", "adaptive")
LIBRARY = {"lstm": nn.LSTM, "gru": nn.GRU, "tanh": nn.RNN}
KINDS = (*GAMMA, *LIBRARY)


def gamma(x, n, s):
    """(1 - s) softplus(n x) / n + s sigmoid(n x)."""
    z = n * x
    return (1 - s) * F.softplus(z) / n + s * torch.sigmoid(z)


class Gamma(torch.autograd.Function):
    """The same with its derivatives by x, gain n and saturation s, which are summed to the shapes of n and s."""

    @staticmethod
    def forward(ctx, x, n, s):
        z = n * x
        soft, t = F.softplus(z) / n, torch.sigmoid(z)
        ctx.save_for_backward(x, n, s, soft, t)
        return (1 - s) * soft + s * t

    @staticmethod
    def backward(ctx, grad):
        x, n, s, soft, t = ctx.saved_tensors
        bell = t * (1 - t)
        by_x = grad * ((1 - s) * t + s * n * bell)
        by_n = grad * ((1 - s) * (x * t - soft) / n + s * x * bell)
        by_s = grad * (t - soft)
        return by_x, by_n.sum_to_size(n.shape), by_s.sum_to_size(s.shape)


class Recurrent(nn.Module):
    """What the layers with gamma share: a_t = x_t w_xh^T + b_xh + h w_hh^T + b_hh, and the loop over the steps."""

    def __init__(self, hidden, generator, compiled):
        super().__init__()
        self.xh, self.hh = nn.Linear(1, hidden), nn.Linear(hidden, hidden)
        with torch.no_grad():
            self.xh.weight.normal_(0, math.sqrt(2), generator=generator)
            self.xh.bias.uniform_(-1, 1, generator=generator)
            henaff(self.hh.weight, generator)
            bound = 1 / math.sqrt(hidden)
            self.hh.bias.uniform_(-bound, bound, generator=generator)
        self.n0 = 5 + 2 * torch.rand((), generator=generator).item()
        self.gamma = gamma if compiled else Gamma.apply
        self.one = torch.compile(self.step, fullgraph=True, dynamic=False) if compiled else self.step

    def forward(self, inputs):
        """The last state [B, H] after `inputs` [T, B, 1]."""
        state = self.rest(inputs)
        for x in inputs.unbind(0):
            state = self.one(x, *state)
        return state[0]


class Static(Recurrent):
    """Neurons that share one curve, or have each their own."""

    def __init__(self, hidden, generator, compiled, curves):
        super().__init__(hidden, generator, compiled)
        self.n = nn.Parameter(torch.full((curves,), self.n0))
        self.s = nn.Parameter(torch.zeros(curves))

    def rest(self, inputs):
        return (inputs.new_zeros(inputs.shape[1], self.hh.out_features),)

    def step(self, x, h):
        return (self.gamma(self.xh(x) + self.hh(h), self.n, self.s),)


class Adaptive(Recurrent):
    """Neurons whose curve a controller moves, with the same weights for all and a state g [B, H, S] of its own for each."""

    def __init__(self, hidden, generator, compiled, units):
        super().__init__(hidden, generator, compiled)
        self.ag, self.gg = nn.Linear(1, units), nn.Linear(units, units)
        self.gn, self.gs = nn.Linear(units, 1), nn.Linear(units, 1)
        with torch.no_grad():
            for layer in (self.xh, self.hh, self.ag, self.gg, self.gs):
                layer.bias.zero_()
            self.gn.bias.fill_(self.n0)
            self.ag.weight.normal_(0, math.sqrt(2), generator=generator)
            henaff(self.gg.weight, generator)
            nn.init.xavier_normal_(self.gn.weight, 0.1, generator=generator)
            nn.init.xavier_normal_(self.gs.weight, 0.01, generator=generator)

    def rest(self, inputs):
        shape = (inputs.shape[1], self.hh.out_features)
        return inputs.new_zeros(shape), inputs.new_zeros(*shape, self.gg.out_features)

    def step(self, x, h, g):
        a = self.xh(x) + self.hh(h)
        g = torch.tanh(self.ag(a.unsqueeze(-1)) + self.gg(g))
        return self.gamma(a, self.gn(g).squeeze(-1), self.gs(g).squeeze(-1)), g


class Library(nn.Module):
    """A layer of torch.nn."""

    def __init__(self, kind, hidden):
        super().__init__()
        self.layer = LIBRARY[kind](1, hidden)

    def forward(self, inputs):
        return self.layer(inputs)[0][-1]


class Classifier(nn.Module):
    """A layer and the readout of its last state."""

    def __init__(self, kind, hidden, controller=50, classes=10, generator=None, compiled=False):
        super().__init__()
        if kind in LIBRARY:
            self.layer = Library(kind, hidden)
        elif kind == "adaptive":
            self.layer = Adaptive(hidden, generator, compiled, controller)
        else:
            self.layer = Static(hidden, generator, compiled, hidden if kind == "heterogeneous" else 1)
        self.readout = nn.Linear(hidden, classes)
        bound = 1 / math.sqrt(hidden)
        with torch.no_grad():
            self.readout.weight.uniform_(-bound, bound, generator=generator)
            self.readout.bias.uniform_(-bound, bound, generator=generator)

    def forward(self, inputs):
        """The scores [B, C] of `inputs` [T, B, 1]."""
        return self.readout(self.layer(inputs))


@torch.no_grad()
def henaff(weight, generator):
    """Plane rotations by angles uniform in (-pi, 0) on rows and columns 2k, 2k + 1; an odd size ends with a 1."""
    size = weight.shape[0]
    angles = -math.pi * torch.rand(size // 2, generator=generator)
    first = torch.arange(0, size - 1, 2)
    weight.zero_()
    weight[first, first] = weight[first + 1, first + 1] = angles.cos()
    weight[first, first + 1] = angles.sin()
    weight[first + 1, first] = -angles.sin()
    if size % 2:
        weight[-1, -1] = 1
