#!/usr/bin/env python3
"""The benchmark model in one PyTorch process: eager or compiled, sorted or dense."""
import intra_op  # first: sets the thread counts  # noqa: F401
import torch

import moe


def build(args, batch_size):
    kind = moe.SortedMoe if args.layout == "sorted" else moe.DenseMoe
    model = kind(args.num_experts, args.num_experts_per_token, args.expert_hidden_size, args.seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr, fused=args.adam == "fused", foreach=args.adam == "foreach")

    def loss_of(x, labels):
        return moe.objective(model, x, labels, args.router_aux_loss_coef)

    if args.compile:
        # Sorted: the row counts are data, so the graph breaks at .tolist() and shapes behind it are dynamic.
        loss_of = torch.compile(loss_of, dynamic=None if args.layout == "sorted" else False)

    def step(x, labels):
        loss = loss_of(x, labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.detach()

    return step


def main():
    parser = moe.parser(__doc__)
    parser.add_argument("--layout", choices=("sorted", "dense"), default="sorted", help="gather rows per expert, or all experts on all rows")
    parser.add_argument("--compile", action="store_true", help="torch.compile (needs a C++ compiler)")
    parser.add_argument("--adam", choices=("fused", "foreach", "loop"), default="fused")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    data = moe.load("train", args.data_dir)
    variant = f"{'compiled' if args.compile else 'eager'}-{args.layout}-{args.threads}t"
    for batch_size, steps in moe.cases(args):
        moe.timed(args, variant, data, batch_size, steps, build(args, batch_size))


if __name__ == "__main__":
    main()
