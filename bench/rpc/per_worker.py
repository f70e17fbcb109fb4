#!/usr/bin/env python3
"""RPC baseline (b): one asynchronous RPC per worker (its experts' rows bundled), distributed autograd, DistributedOptimizer."""
import cluster
import moe
import torch
from torch.distributed import autograd as dist_autograd
from torch.distributed import rpc
from torch.distributed.optim import DistributedOptimizer


class ExpertGroup:
    """The experts of one worker; the master holds an RRef to it."""

    def __init__(self, args, worker):
        each = args.num_experts // cluster.WORKERS
        self.experts = [
            [torch.nn.Parameter(value) for value in cluster.expert_parameters(args, expert)]
            for expert in range(worker * each, (worker + 1) * each)
        ]

    def parameter_rrefs(self):
        return [rpc.RRef(parameter) for expert in self.experts for parameter in expert]


def forward(group, rows, sizes):
    return moe.run_experts(group.local_value().experts, rows, sizes)


class Trainer:
    def __init__(self, args):
        self.args = args
        self.router = torch.nn.Parameter(cluster.router_parameter(args))
        self.groups = [rpc.remote(f"worker{w}", ExpertGroup, (args, w)) for w in range(cluster.WORKERS)]
        parameters = [rref for group in self.groups for rref in group.rpc_sync().parameter_rrefs()]
        self.optimizer = DistributedOptimizer(torch.optim.Adam, parameters + [rpc.RRef(self.router)], lr=args.lr)

    def step(self, x, labels):
        with dist_autograd.context() as context:
            plan = cluster.Plan(x @ self.router.t(), self.args.num_experts_per_token)
            bundles = plan.per_worker()
            parts = x.index_select(0, plan.rows).split([slots for slots, _ in bundles])
            replies = [
                rpc.rpc_async(group.owner(), forward, (group, part, sizes))
                for group, part, (_, sizes) in zip(self.groups, parts, bundles)
            ]
            out = torch.cat([reply.wait() for reply in replies])
            loss = plan.loss(out, labels, self.args.router_aux_loss_coef)
            dist_autograd.backward(context, [loss])
            self.optimizer.step(context)
        return loss.detach()


def main(args):
    data = moe.load("train", args.data_dir)
    for batch_size, steps in moe.cases(args):
        moe.timed(args, "rpc-per-worker", data, batch_size, steps, Trainer(args).step)


if __name__ == "__main__":
    cluster.serve(main, cluster.parser(__doc__, rpc_threads=2).parse_args())
