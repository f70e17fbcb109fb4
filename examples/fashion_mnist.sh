#!/bin/sh
# Trains FashionMNIST over a head and two nodes, saves the model, and evaluates it on three nodes.
#   examples/fashion_mnist.sh [DIRECTORY]     (after `make build`)
set -eu
troupe="$(dirname "$0")/../build/release/bin/troupe"
model="${1:-build/fashion-mnist-model}"
"$troupe" train --data fashion-mnist --nodes 2 --num-experts 8 --num-experts-per-token 2 --epochs 1 --save "$model"
"$troupe" eval --model "$model" --nodes 3
