"""The benchmark model in plain PyTorch, shared by every baseline in this folder.

x [T, 784] = pixels / 255 - 0.286 (their mean); router logits z = x Wg^T without bias; the k largest logits per row (softmax over them = gates);
experts 784 -> hidden -> 10 with ReLU and biases; y = sum of gate * expert(x);
loss = cross entropy + coefficient * switch auxiliary loss (Fedus 2021): E * sum_e n_e / (T k) * mean_t P_te.
"""
import argparse
import gzip
import json
import pathlib
import struct
import subprocess
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

PIXELS, CLASSES = 784, 10
PIXEL_MEAN = 0.286  # of the training set, as in troupe (model/pixel.hpp)
PACKAGE = "dataset-fashion-mnist"
FILES = {
    "train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
    "test": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
}


# -- data ----------------------------------------------------------------------


def data_dir(given=None):
    """The folder with the four IDX .gz files: `given`, or where the Debian package put them."""
    if given:
        return pathlib.Path(given)
    listing = subprocess.run(["dpkg", "-L", PACKAGE], capture_output=True, text=True)
    for line in listing.stdout.splitlines():
        if line.endswith("/" + FILES["train"][0]):
            return pathlib.Path(line).parent
    sys.exit(f"[bench.data] FashionMNIST not found: install the Debian package {PACKAGE}, or give --data-dir DIR")


def read_idx(path):
    """One IDX file as a uint8 tensor of the shape that its header names."""
    with gzip.open(path, "rb") as file:
        raw = file.read()
    dims = raw[3]
    shape = struct.unpack(f">{dims}I", raw[4 : 4 + 4 * dims])
    return torch.frombuffer(bytearray(raw[4 + 4 * dims :]), dtype=torch.uint8).view(shape)


def load(part, directory=None, mean=PIXEL_MEAN):
    """(x [N, 784] fp32: pixels / 255 - mean, labels [N] int64) of part "train" or "test"."""
    images, labels = FILES[part]
    directory = data_dir(directory)
    x = read_idx(directory / images).view(-1, PIXELS)
    return x.float().div_(255.0).sub_(mean), read_idx(directory / labels).long()


def batches(x, labels, batch_size, seed, drop_last):
    """Endless (rows, labels), shuffled anew per epoch. Yields None between epochs."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        order = torch.randperm(len(x), generator=generator)
        for cut in order.split(batch_size):
            if drop_last and len(cut) < batch_size:
                continue
            yield x.index_select(0, cut), labels.index_select(0, cut)
        yield None


# -- model ---------------------------------------------------------------------


def uniform(generator, fan_in, *shape):
    bound = fan_in**-0.5
    return torch.empty(*shape).uniform_(-bound, bound, generator=generator)


def initial_expert(generator, hidden):
    """[w1 [hidden, 784], b1 [hidden], w2 [10, hidden], b2 [10]], each uniform in +-1/sqrt(fan_in)."""
    return [
        uniform(generator, PIXELS, hidden, PIXELS),
        uniform(generator, PIXELS, hidden),
        uniform(generator, hidden, CLASSES, hidden),
        uniform(generator, hidden, CLASSES),
    ]


def route(z, k, renormalise=True):
    """Gates [T, k], expert ids [T, k] and P = softmax(z) [T, E]."""
    p = F.softmax(z, dim=1)
    top, ids = z.topk(k, dim=1)
    gates = F.softmax(top, dim=1) if renormalise else p.gather(1, ids)
    return gates, ids, p


def switch_loss(p, counts, k):
    """1 at balance; counts [E] are slots per expert and carry no gradient."""
    tokens, experts = p.shape
    return experts / (tokens * k) * (counts * p.mean(0)).sum()


class SortedMoe(nn.Module):
    """Gathers the rows of each expert: k / E of the dense work, but gathers, a sort and small GEMMs."""

    def __init__(self, experts, k, hidden, seed, renormalise=True):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.k, self.renormalise = k, renormalise
        self.router = nn.Parameter(uniform(generator, PIXELS, experts, PIXELS))
        self.experts = nn.ModuleList(nn.ParameterList(initial_expert(generator, hidden)) for _ in range(experts))

    def forward(self, x):
        gates, ids, p = route(x @ self.router.t(), self.k, self.renormalise)
        flat = ids.reshape(-1)
        order = flat.argsort(stable=True)
        rows = order.div(self.k, rounding_mode="floor")
        counts = torch.bincount(flat, minlength=len(self.experts))
        out = run_experts(self.experts, x.index_select(0, rows), counts.tolist())
        weighted = out * gates.reshape(-1).index_select(0, order).unsqueeze(1)
        y = weighted.new_zeros(len(x), CLASSES).index_add(0, rows, weighted)
        return y, p, counts


def run_experts(experts, rows, counts):
    """Rows sorted by expert [sum(counts), 784] -> [sum(counts), 10]."""
    parts = rows.split(counts)
    outs = [torch.addmm(b2, torch.addmm(b1, part, w1.t()).relu(), w2.t()) for part, (w1, b1, w2, b2) in zip(parts, experts)]
    return torch.cat(outs)


class DenseMoe(nn.Module):
    """All experts on all rows as two wide GEMMs; the gates (0 where not chosen) mask the hidden layer.

    `input_mean` [784]: the router sees x less it, as in troupe; none in the measurements of speed.
    """

    def __init__(self, experts, k, hidden, seed, renormalise=True, input_mean=None):
        super().__init__()
        self.register_buffer("input_mean", input_mean)
        generator = torch.Generator().manual_seed(seed)
        self.k, self.hidden, self.renormalise = k, hidden, renormalise
        self.router = nn.Parameter(uniform(generator, PIXELS, experts, PIXELS))
        w1, b1, w2, b2 = zip(*(initial_expert(generator, hidden) for _ in range(experts)))
        self.w1 = nn.Parameter(torch.cat(w1))
        self.b1 = nn.Parameter(torch.cat(b1))
        self.w2 = nn.Parameter(torch.cat([w.t() for w in w2]))
        self.b2 = nn.Parameter(torch.stack(b2))

    def forward(self, x):
        z = (x if self.input_mean is None else x - self.input_mean) @ self.router.t()
        gates, ids, p = route(z, self.k, self.renormalise)
        mask = torch.zeros_like(z).scatter(1, ids, gates)
        counts = torch.zeros_like(z).scatter(1, ids, 1.0).sum(0)
        h = torch.addmm(self.b1, x, self.w1.t()).relu().view(len(x), -1, self.hidden)
        y = (h * mask.unsqueeze(2)).flatten(1) @ self.w2 + mask @ self.b2
        return y, p, counts


def objective(model, x, labels, aux):
    y, p, counts = model(x)
    return F.cross_entropy(y, labels) + aux * switch_loss(p, counts, model.k)


# -- timing and command line ---------------------------------------------------


def parser(description):
    result = argparse.ArgumentParser(description=description)
    result.add_argument("--batch-size", default="128", help="rows per step, or several: 128,1024 (one JSON line each)")
    result.add_argument("--steps", default="300", help="timed steps, one number or one per batch size")
    result.add_argument("--warmup", type=int, default=30, help="steps before the clock starts (default 30)")
    result.add_argument("--seed", type=int, default=0)
    result.add_argument("--threads", type=int, default=1, help="intra-op threads per process (default 1)")
    result.add_argument("--num-experts", type=int, default=4)
    result.add_argument("--num-experts-per-token", type=int, default=2)
    result.add_argument("--expert-hidden-size", type=int, default=64)
    result.add_argument("--router-aux-loss-coef", type=float, default=0.01)
    result.add_argument("--lr", type=float, default=1e-3)
    result.add_argument("--data-dir", help=f"folder of the IDX .gz files (default: where the package {PACKAGE} has them)")
    result.add_argument("--json", action="store_true", help="JSON lines only (default: a sentence per batch size)")
    return result


def cases(args):
    """[(batch size, steps)] of --batch-size and --steps."""
    sizes = [int(size) for size in args.batch_size.split(",")]
    steps = [int(count) for count in args.steps.split(",")]
    if len(steps) == 1:
        steps *= len(sizes)
    if len(steps) != len(sizes) or min(sizes + steps) < 1:
        sys.exit(f"[bench] --steps: got {args.steps}, need one number or one per batch size {args.batch_size}, each >= 1")
    return list(zip(sizes, steps))


def timed(args, variant, data, batch_size, steps, step, drain=lambda: None):
    """Runs warm-up and timed steps; `step(x, labels)` returns the loss (a float or a tensor); prints the result line.

    The batch's gather is inside the clock. The ragged last batch is left out so that every timed step has the same size.
    """
    source = filter(None, batches(*data, batch_size, args.seed, drop_last=True))
    first = step(*next(source))
    for _ in range(args.warmup):
        step(*next(source))
    drain()
    start = time.perf_counter()
    for _ in range(steps):
        last = step(*next(source))
    drain()
    seconds = time.perf_counter() - start
    result = {
        "variant": variant,
        "batch_size": batch_size,
        "samples_per_second": round(batch_size * steps / seconds, 1),
        "ms_per_step": round(1e3 * seconds / steps, 4),
        "loss_first": round(float(first), 6),
        "loss_last": round(float(last), 6),
        "steps": steps,
        "threads": args.threads,
        "seed": args.seed,
    }
    if args.json:
        print(json.dumps(result), flush=True)
    else:
        print(f"{variant} | batch {batch_size} | {result['samples_per_second'] / 1e3:.1f}k samples/s | "
              f"{result['ms_per_step']:.3f} ms/step | loss {result['loss_first']:.4f} -> {result['loss_last']:.4f}", flush=True)
