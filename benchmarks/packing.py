"""How small `model.packed` is, and how fast: against the entropy bound, and against what peers hand back.

`make bench-pack` prunes MiniLM-L6 to 6 % by movement pruning (once; it stays in `.cache/`), packs and unpacks it, and
prints as its last line one JSON object. Time is the CPU time of this one process on one thread, the best of several
rounds, since machines are noisy.

    python -m benchmarks.packing --model DIR      measure another pruned model's directory
"""

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from benchmarks.packing_peers import csr_int8_gzip, install_peers, sparse_bitmask_int8, zstd_dense
from benchmarks.tables import read_csv
from examples.sample_data import movie_reviews, sample_model
from pruning_core import PruningSpec, prune, save_packed, unpack
from pruning_core.packed.coding import entropy
from pruning_core.packed.frames import MAGIC, Cursor, read_frames, varint
from pruning_core.packed.kinds import BLOCK, CONTENTS
from pruning_core.packed.layout import tensors_of
from pruning_core.packed.precision import Precision

CACHE = Path(__file__).resolve().parents[1] / ".cache" / "bench-pack"
#: What the names of all of the encoder's tensors have.
ENCODER = "encoder.layer."
PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "int8")
ROUNDS = 3
SPEC: dict[str, Any] = {
    "method": "movement",
    "target_sparsity": 0.94,
    "task": {"text": "text", "label": "label"},
    "training": {"max_steps": 150, "max_length": 64, "dense_baseline": False},
    "export": {"packed": "int8"},
}
BARS = {"mask_vs_iid_bound": 1.003, "bits_per_weight_6pct_int8": 0.76}
MB_S = 100.0

Weights = dict[str, NDArray[np.float32]]


@dataclass
class Parts:
    """Where the bytes of a packed file go.

    Attributes:
        encoder: frames of the encoder's tensors.
        masks: what is no value of a tensor and no text: masks, and all headers and tables of the file.
    """

    encoder: int = 0
    masks: int = len(MAGIC) + 1


def pruned_model() -> Path:
    """The output of the pruning run, made where there is none of this spec."""
    directory = CACHE / "pruned"
    spec = PruningSpec.model_validate(SPEC)
    made_of = directory / "spec.json"
    if not made_of.exists() or PruningSpec.model_validate_json(made_of.read_text()) != spec:
        print("Pruning MiniLM-L6 to 6 % first: some minutes.", flush=True)
        reviews = movie_reviews()
        shutil.rmtree(directory, ignore_errors=True)
        train, evaluation = read_csv(reviews / "train.csv"), read_csv(reviews / "validation.csv")
        prune(sample_model(), train, spec, directory, evaluation=evaluation)
        made_of.write_text(spec.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return directory


def parts_of(file: Path, model: Path) -> Parts:
    """Account for a packed file's bytes."""
    weights = model / "model.safetensors"
    with weights.open("rb") as stream:
        header = stream.read(int.from_bytes(stream.read(8), "little"))
    tensors = tensors_of(header, weights.stat().st_size)
    names = iter([tensor.name for tensor in tensors for _ in tensor.blocks()])
    parts = Parts()
    with file.open("rb") as stream:
        for frame in read_frames(stream, file.stat().st_size):
            around = 1 + len(varint(len(frame.payload))) + 4
            whole = around + len(frame.payload)
            if frame.kind == BLOCK:
                encoder = ENCODER in next(names)
                parts.encoder += whole if encoder else 0
                parts.masks += around + _mask_bytes(frame.payload)
            elif frame.kind != CONTENTS:
                parts.masks += whole
    return parts


def _mask_bytes(payload: bytes) -> int:
    """What of a block comes before its values."""
    cursor = Cursor(payload)
    if cursor.byte() & 0x10 and cursor.number():
        cursor.sized()
    return len(payload) - len(cursor.rest())


def bound_of(weights: Weights) -> float:
    """Σ N·H(density) over the encoder's matrices, in bytes."""
    return sum(entropy(w.size, int(np.count_nonzero(w))) for w in matrices_of(weights)) / 8


def matrices_of(weights: Weights) -> list[NDArray[np.float32]]:
    """The encoder's matrices."""
    return [tensor for name, tensor in weights.items() if ENCODER in name and tensor.ndim == 2]


def rates(model: Path, scratch: Path) -> dict[str, dict[str, float]]:
    """Dense megabytes a second of packing and of unpacking, by precision."""
    dense = sum(path.stat().st_size for path in model.iterdir()) / 1e6
    found: dict[str, dict[str, float]] = {}
    for precision in PRECISIONS:
        file = scratch / f"{precision}.packed"
        packing = _best(partial(save_packed, model, file, precision=precision))
        unpacking = _best(partial(_unpack_anew, file, scratch / "unpacked"))
        found[precision] = {"pack": dense / packing, "unpack": dense / unpacking}
    return found


def _unpack_anew(file: Path, directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    unpack(file, directory)


def _best(work: Callable[[], object]) -> float:
    """CPU seconds of the fastest round."""
    seconds = []
    for _ in range(ROUNDS):
        started = time.process_time()
        work()
        seconds.append(time.process_time() - started)
    return min(seconds)


def main() -> None:
    """Measure, and print a table and the last line."""
    parser = argparse.ArgumentParser(description="Size and speed of packed models.")
    parser.add_argument("--model", type=Path, help="a pruned model's directory; default: one pruned to 6 percent here")
    options = parser.parse_args()
    run: Path | None = None if options.model else pruned_model()
    model: Path = options.model if run is None else run / "model"
    install_peers(CACHE / "peers")
    weights: Weights = load_file(model / "model.safetensors")
    prunable = sum(matrix.size for matrix in matrices_of(weights))
    kept = sum(int(np.count_nonzero(matrix)) for matrix in matrices_of(weights))
    encoder = {name: tensor for name, tensor in weights.items() if ENCODER in name}
    bound = bound_of(weights)
    print(
        f"{prunable:,} prunable weights, {kept / prunable:.1%} kept; masks take at least {bound:,.0f} bytes", flush=True
    )

    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        speed = rates(model, scratch)
        sizes = {precision: (scratch / f"{precision}.packed").stat().st_size for precision in PRECISIONS}
        parts = {precision: parts_of(scratch / f"{precision}.packed", model) for precision in PRECISIONS}
    for precision in PRECISIONS:
        bits = 8 * parts[precision].encoder / prunable
        print(
            f"{precision}: {sizes[precision]:>10,} bytes; encoder {bits:.4f} bit/weight, "
            f"masks and headers {parts[precision].masks / bound:.4f} of the bound; "
            f"packs at {speed[precision]['pack']:.0f} MB/s, unpacks at {speed[precision]['unpack']:.0f} MB/s"
        )
    peers = {
        name: 8 * peer(encoder, CACHE / "peers") / prunable
        for name, peer in (
            ("csr_int8_gzip", csr_int8_gzip),
            ("compressed_tensors_bitmask_int8", sparse_bitmask_int8),
            ("zstd_dense_fp32", zstd_dense),
        )
    }
    for name, bits in peers.items():
        print(f"{name}: encoder {bits:.4f} bit/weight")
    result: dict[str, Any] = {
        "mask_vs_iid_bound": max(part.masks for part in parts.values()) / bound,
        "bits_per_weight_6pct_int8": 8 * parts["int8"].encoder / prunable,
        "pack_mb_s": min(each["pack"] for each in speed.values()),
        "unpack_mb_s": min(each["unpack"] for each in speed.values()),
        "density": kept / prunable,
        "peers": peers,
        "ours": {precision: 8 * parts[precision].encoder / prunable for precision in PRECISIONS},
        "bytes": sizes,
    }
    if run is not None:
        report = json.loads((run / "report.json").read_text(encoding="utf-8"))
        metric = report["primary_metric"]
        result["eval"] = {"exact": report["eval"][metric], "int8": report["packed_eval"][metric]}
    result["met"] = {name: result[name] <= bar for name, bar in BARS.items()} | {
        name: result[name] >= MB_S for name in ("pack_mb_s", "unpack_mb_s")
    }
    print(json.dumps(_rounded(result)))


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    return round(value, 4) if isinstance(value, float) else value


if __name__ == "__main__":
    main()
