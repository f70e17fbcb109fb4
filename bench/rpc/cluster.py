"""One master and two expert workers under torch.distributed.rpc, and the master's half of the model.

The processes are forked before RPC starts, so PyTorch is imported once. Workers die with the master.
"""
import ctypes
import os
import pathlib
import shutil
import signal
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
os.environ.setdefault("TP_SOCKET_IFNAME", "lo")
import intra_op  # before torch: sets the thread counts  # noqa: E402,F401
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from torch.distributed import rpc  # noqa: E402

import moe  # noqa: E402

WORKERS = 2
PR_SET_PDEATHSIG = 1


def parser(description, rpc_threads):
    result = moe.parser(description)
    result.add_argument("--rpc-threads", type=int, default=rpc_threads, help=f"RPC worker threads per process, >= 2 (default {rpc_threads})")
    return result


def serve(master_main, args):
    """Forks the workers, runs `master_main(args)` as the master, and ends all of them."""
    torch.set_num_threads(args.threads)
    if args.num_experts % WORKERS:
        sys.exit(f"[bench.rpc] --num-experts: got {args.num_experts}, need a multiple of {WORKERS}")
    if args.rpc_threads < 2:
        sys.exit(f"[bench.rpc] --rpc-threads: got {args.rpc_threads}, limit >= 2: one may wait while another works")
    folder = tempfile.mkdtemp(prefix="bench-rpc-")
    sys.stdout.flush()
    children = []
    for rank in range(1, WORKERS + 1):
        child = os.fork()
        if child == 0:
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            join(f"worker{rank - 1}", rank, folder, args)
            rpc.shutdown()
            os._exit(0)
        children.append(child)
    try:
        join("master", 0, folder, args)
        master_main(args)
        rpc.shutdown()
        for child in children:
            os.waitpid(child, 0)
    except BaseException:
        for child in children:
            os.kill(child, signal.SIGKILL)
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def join(name, rank, folder, args):
    options = rpc.TensorPipeRpcBackendOptions(
        num_worker_threads=args.rpc_threads, rpc_timeout=60, init_method=f"file://{folder}/rendezvous"
    )
    rpc.init_rpc(name, rank=rank, world_size=WORKERS + 1, rpc_backend_options=options)


def worker_of(expert, experts):
    """Experts are placed in equal consecutive groups."""
    return f"worker{expert * WORKERS // experts}"


class Plan:
    """Where the rows of one batch go: (row, slot) pairs sorted by expert, stably."""

    def __init__(self, z, k):
        self.k = k
        self.gates, self.ids, self.p = moe.route(z, k)
        flat = self.ids.reshape(-1)
        self.order = flat.argsort(stable=True)
        self.rows = self.order.div(k, rounding_mode="floor")
        self.counts = torch.bincount(flat, minlength=z.shape[1])
        self.sizes = self.counts.tolist()

    def per_worker(self):
        """[(slots of the worker, [slots per expert])], one per worker."""
        each = len(self.sizes) // WORKERS
        groups = [self.sizes[w * each : (w + 1) * each] for w in range(WORKERS)]
        return [(sum(group), group) for group in groups]

    def slot_gates(self):
        """Gate per sorted slot [T k, 1]; differentiable."""
        return self.gates.reshape(-1).index_select(0, self.order).unsqueeze(1)

    def combine(self, out):
        """Sorted expert rows [T k, 10] -> y [T, 10]; differentiable."""
        weighted = out * self.slot_gates()
        return weighted.new_zeros(len(self.gates), moe.CLASSES).index_add(0, self.rows, weighted)

    def loss(self, out, labels, aux):
        return F.cross_entropy(self.combine(out), labels) + aux * moe.switch_loss(self.p, self.counts, self.k)


def router_parameter(args):
    generator = torch.Generator().manual_seed(args.seed)
    return moe.uniform(generator, moe.PIXELS, args.num_experts, moe.PIXELS)


def expert_parameters(args, expert):
    """The same values wherever the expert lives."""
    return moe.initial_expert(torch.Generator().manual_seed(1000 * (args.seed + 1) + expert), args.expert_hidden_size)
