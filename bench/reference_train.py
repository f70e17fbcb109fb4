#!/usr/bin/env python3
"""Trains the benchmark model in plain PyTorch; prints one JSON line per epoch: the reference of the accuracy bars."""
import argparse
import json
import math
import time

import intra_op  # before torch: sets the thread counts  # noqa: F401
import torch

import moe


def evaluate(model, x, labels):
    """(accuracy, slots per expert) over the test set."""
    with torch.no_grad():
        y, _, counts = model(x)
    return (y.argmax(1) == labels).float().mean().item(), [int(count) for count in counts]


def rate(schedule, step, steps):
    """Factor of the learning rate for step 0 .. steps - 1."""
    if schedule == "constant":
        return 1.0
    return 1.0 - step / steps if schedule == "linear" else 0.5 * (1.0 + math.cos(math.pi * step / steps))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num-experts", type=int, default=4)
    parser.add_argument("--num-experts-per-token", type=int, default=2)
    parser.add_argument("--expert-hidden-size", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--lr-schedule", choices=("constant", "linear", "cosine"), default="linear",
                        help="over the whole run, to 0 after its last step (default linear)")
    parser.add_argument("--router-aux-loss-coef", type=float, default=0.01)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--renormalise", action=argparse.BooleanOptionalAction, default=True,
                        help="gates sum to 1 over the chosen experts (default); --no-renormalise keeps softmax over all")
    parser.add_argument("--pixel-mean", type=float, default=moe.PIXEL_MEAN,
                        help="subtracted from pixels / 255 (default %(default)s, the training set's mean)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--data-dir", help=f"folder of the IDX .gz files (default: where the package {moe.PACKAGE} has them)")
    args = parser.parse_args()
    k = args.num_experts_per_token
    if not 1 <= k <= args.num_experts:
        parser.error(f"--num-experts-per-token: got {k}, limit 1..{args.num_experts}")
    if k == 1 and args.renormalise:
        parser.error("--num-experts-per-token 1 needs --no-renormalise: a renormalised single gate gives the router no gradient")

    torch.set_num_threads(args.threads)
    train, test = (moe.load(part, args.data_dir, args.pixel_mean) for part in ("train", "test"))
    model = moe.DenseMoe(args.num_experts, k, args.expert_hidden_size, args.seed, args.renormalise, train[0].mean(0))
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr, fused=True)
    step, steps = 0, args.epochs * math.ceil(len(train[0]) / args.batch_size)
    source = moe.batches(*train, args.batch_size, args.seed, drop_last=False)
    for epoch in range(1, args.epochs + 1):
        start, total = time.perf_counter(), 0.0
        while (batch := next(source)) is not None:
            optimizer.param_groups[0]["lr"] = args.lr * rate(args.lr_schedule, step, steps)
            step += 1
            optimizer.zero_grad(set_to_none=True)
            loss = moe.objective(model, *batch, args.router_aux_loss_coef)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(batch[0])
        accuracy, slots = evaluate(model, *test)
        print(json.dumps({
            "epoch": epoch, "test_accuracy": round(accuracy, 4), "train_loss": round(total / len(train[0]), 5),
            "expert_slots": slots, "dead_experts": sum(count == 0 for count in slots),
            "seconds": round(time.perf_counter() - start, 2), "num_experts": args.num_experts,
            "num_experts_per_token": k, "batch_size": args.batch_size, "lr": args.lr, "lr_schedule": args.lr_schedule, "seed": args.seed,
        }), flush=True)


if __name__ == "__main__":
    main()
