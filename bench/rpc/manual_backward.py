#!/usr/bin/env python3
"""RPC baseline (c): hand-written backward, local Adam on the workers, one asynchronous RPC per worker and direction.

The master goes on to the next step as soon as its own router is updated; a worker holds the next forward until it has
applied the current backward. So the acknowledgements of the backward are off the critical path; the result is synchronous.
"""
import threading

import cluster
import moe
import torch
from torch.distributed import rpc


class FlatAdam:
    """Adam over one flat buffer; `views` are the parameters, `gradients` the views that the backward writes."""

    def __init__(self, values, lr):
        flat = torch.cat([value.reshape(-1) for value in values])
        self.state = [flat, torch.zeros_like(flat), torch.zeros_like(flat), torch.zeros_like(flat)]
        self.views, self.gradients = self.cut(flat, values), self.cut(self.state[1], values)
        self.steps, self.lr = torch.zeros(()), lr

    @staticmethod
    def cut(flat, values):
        parts = flat.split([value.numel() for value in values])
        return [part.view_as(value) for part, value in zip(parts, values)]

    def step(self):
        self.steps += 1
        flat, gradient, first, second = self.state
        torch._fused_adam_(
            [flat], [gradient], [first], [second], [], [self.steps], amsgrad=False, lr=self.lr, beta1=0.9, beta2=0.999,
            weight_decay=0.0, eps=1e-8, maximize=False,
        )


class Worker:
    """The experts of one worker process, called through the module functions below."""

    def __init__(self, args, worker):
        each = args.num_experts // cluster.WORKERS
        values = [cluster.expert_parameters(args, expert) for expert in range(worker * each, (worker + 1) * each)]
        self.adam = FlatAdam([value for expert in values for value in expert], args.lr)
        self.changed, self.version = threading.Condition(), 0

    def forward(self, step, rows, sizes):
        with self.changed:
            self.changed.wait_for(lambda: self.version == step)
        self.saved, outs = [], []
        for expert, part in enumerate(rows.split(sizes)):
            w1, b1, w2, b2 = self.adam.views[4 * expert : 4 * expert + 4]
            hidden = torch.addmm(b1, part, w1.t()).relu_()
            self.saved.append((part, hidden))
            outs.append(torch.addmm(b2, hidden, w2.t()))
        return torch.cat(outs)

    def backward(self, gradient):
        parts = gradient.split([len(part) for part, _ in self.saved])
        for expert, ((rows, hidden), dy) in enumerate(zip(self.saved, parts)):
            w2 = self.adam.views[4 * expert + 2]
            dw1, db1, dw2, db2 = self.adam.gradients[4 * expert : 4 * expert + 4]
            torch.mm(dy.t(), hidden, out=dw2)
            torch.sum(dy, 0, out=db2)
            dh = torch.ops.aten.threshold_backward(dy @ w2, hidden, 0)
            torch.mm(dh.t(), rows, out=dw1)
            torch.sum(dh, 0, out=db1)
        self.adam.step()
        with self.changed:
            self.version += 1
            self.changed.notify_all()


worker = None  # one per worker process and batch size


def create(args, number):
    global worker
    with torch.no_grad():
        worker = Worker(args, number)


def forward(step, rows, sizes):
    with torch.no_grad():
        return worker.forward(step, rows, sizes)


def backward(gradient):
    with torch.no_grad():
        worker.backward(gradient)


class Master:
    def __init__(self, args):
        self.args, self.steps, self.pending = args, 0, []
        self.names = [f"worker{w}" for w in range(cluster.WORKERS)]
        for number, name in enumerate(self.names):
            rpc.rpc_sync(name, create, (args, number))
        self.adam = FlatAdam([cluster.router_parameter(args)], args.lr)

    @torch.no_grad()
    def step(self, x, labels):
        plan = cluster.Plan(x @ self.adam.views[0].t(), self.args.num_experts_per_token)
        bundles = plan.per_worker()
        cuts = [slots for slots, _ in bundles]
        replies = [
            rpc.rpc_async(name, forward, (self.steps, x.index_select(0, rows), sizes))
            for name, rows, (_, sizes) in zip(self.names, plan.rows.split(cuts), bundles)
        ]
        gates = plan.slot_gates()
        out = torch.cat([reply.wait() for reply in replies])
        y = plan.combine(out)
        logp = torch.log_softmax(y, 1)
        dy = logp.exp()
        dy.scatter_add_(1, labels.unsqueeze(1), torch.full_like(labels, -1, dtype=dy.dtype).unsqueeze(1)).div_(len(x))
        slots_dy = dy.index_select(0, plan.rows)
        self.drain()
        self.pending = [
            rpc.rpc_async(name, backward, (gradient,)) for name, gradient in zip(self.names, (slots_dy * gates).split(cuts))
        ]
        self.update_router(x, plan, (slots_dy * out).sum(1))
        self.steps += 1
        loss = -logp.gather(1, labels.unsqueeze(1)).mean()
        return loss + self.args.router_aux_loss_coef * moe.switch_loss(plan.p, plan.counts, plan.k)

    def update_router(self, x, plan, slot_gradient):
        """dL/dz of the renormalised gates and of the auxiliary loss, then the router's own Adam step."""
        tokens, experts = plan.p.shape
        dgates = torch.empty_like(slot_gradient).scatter_(0, plan.order, slot_gradient).view_as(plan.gates)
        dchosen = plan.gates * (dgates - (dgates * plan.gates).sum(1, keepdim=True))
        n = plan.counts.float()
        scale = self.args.router_aux_loss_coef * experts / (tokens * tokens * plan.k)
        dz = scale * plan.p * (n - (plan.p @ n).unsqueeze(1))
        dz.scatter_add_(1, plan.ids, dchosen)
        torch.mm(dz.t(), x, out=self.adam.gradients[0])
        self.adam.step()

    def drain(self):
        for reply in self.pending:
            reply.wait()
        self.pending = []


def main(args):
    data = moe.load("train", args.data_dir)
    for batch_size, steps in moe.cases(args):
        master = Master(args)
        moe.timed(args, "rpc-manual-backward", data, batch_size, steps, master.step, master.drain)


if __name__ == "__main__":
    cluster.serve(main, cluster.parser(__doc__, rpc_threads=4).parse_args())
