"""What `run` measures, and the bars that troupe is held to."""
import dataclasses
import fnmatch
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[1]
BENCH = ROOT / "bench"


@dataclasses.dataclass(frozen=True)
class Candidate:
    """One program. `group`: process (one PyTorch process), rpc, or troupe. `steps`: timed steps per batch size."""

    name: str
    group: str
    words: tuple
    steps_128: int

    def steps(self, batch):
        """About the same time per batch size: larger batches cost less per row."""
        return max(20, self.steps_128 * 128 * 3 // (2 * batch)) if batch > 128 else self.steps_128


def all_candidates():
    """(a) RPC, (b) one PyTorch process, (c) troupe in one process, (d) troupe head + 2 nodes."""
    result = [
        Candidate("rpc-per-expert", "rpc", ("rpc/per_expert.py",), 120),
        Candidate("rpc-per-worker", "rpc", ("rpc/per_worker.py",), 160),
        Candidate("rpc-manual-backward", "rpc", ("rpc/manual_backward.py",), 300),
    ]
    for mode in ("eager", "compiled"):
        for layout in ("sorted", "dense"):
            for threads in (1, 2):
                words = ("torch_process.py", "--layout", layout, "--threads", str(threads))
                words += ("--compile",) if mode == "compiled" else ()
                result.append(Candidate(f"{mode}-{layout}-{threads}t", "process", words, 500))
    result.append(Candidate("troupe-1-process", "troupe", ("--nodes", "0"), 2000))
    result.append(Candidate("troupe-head+2-nodes", "troupe", ("--nodes", "2"), 2000))
    return result


def select(patterns):
    """The candidates whose name or group matches one of the comma-separated shell patterns."""
    chosen = all_candidates()
    if patterns:
        wanted = patterns.split(",")
        chosen = [c for c in chosen if any(fnmatch.fnmatch(c.name, p) or c.group == p for p in wanted)]
    return chosen


@dataclasses.dataclass(frozen=True)
class Bar:
    """troupe's `candidate` must reach `factor` times the best of `group` at `batch`."""

    candidate: str
    group: str
    batch: int
    factor: float


BARS = (
    Bar("troupe-1-process", "process", 128, 2.0),
    Bar("troupe-1-process", "process", 1024, 1.5),
    Bar("troupe-head+2-nodes", "process", 128, 1.2),
    Bar("troupe-head+2-nodes", "process", 1024, 1.0),
    Bar("troupe-head+2-nodes", "rpc", 128, 4.0),
    Bar("troupe-head+2-nodes", "rpc", 1024, 1.75),
)
