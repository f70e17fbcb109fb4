#!/usr/bin/env python3
"""RPC baseline (a): one asynchronous RPC per expert, distributed autograd, DistributedOptimizer."""
import cluster
import moe
import torch
from torch.distributed import autograd as dist_autograd
from torch.distributed import rpc
from torch.distributed.optim import DistributedOptimizer


class Expert:
    """Lives on a worker; the master holds an RRef to it."""

    def __init__(self, args, expert):
        self.parameters = [torch.nn.Parameter(value) for value in cluster.expert_parameters(args, expert)]

    def forward(self, rows):
        w1, b1, w2, b2 = self.parameters
        return torch.addmm(b2, torch.addmm(b1, rows, w1.t()).relu(), w2.t())

    def parameter_rrefs(self):
        return [rpc.RRef(parameter) for parameter in self.parameters]


def forward(expert, rows):
    return expert.local_value().forward(rows)


class Trainer:
    def __init__(self, args):
        self.args = args
        self.router = torch.nn.Parameter(cluster.router_parameter(args))
        self.experts = [rpc.remote(cluster.worker_of(e, args.num_experts), Expert, (args, e)) for e in range(args.num_experts)]
        parameters = [rref for expert in self.experts for rref in expert.rpc_sync().parameter_rrefs()]
        self.optimizer = DistributedOptimizer(torch.optim.Adam, parameters + [rpc.RRef(self.router)], lr=args.lr)

    def step(self, x, labels):
        with dist_autograd.context() as context:
            plan = cluster.Plan(x @ self.router.t(), self.args.num_experts_per_token)
            parts = x.index_select(0, plan.rows).split(plan.sizes)
            replies = [rpc.rpc_async(e.owner(), forward, (e, part)) for e, part in zip(self.experts, parts)]
            out = torch.cat([reply.wait() for reply in replies])
            loss = plan.loss(out, labels, self.args.router_aux_loss_coef)
            dist_autograd.backward(context, [loss])
            self.optimizer.step(context)
        return loss.detach()


def main(args):
    data = moe.load("train", args.data_dir)
    for batch_size, steps in moe.cases(args):
        moe.timed(args, "rpc-per-expert", data, batch_size, steps, Trainer(args).step)


if __name__ == "__main__":
    cluster.serve(main, cluster.parser(__doc__, rpc_threads=2).parse_args())
