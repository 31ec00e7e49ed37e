"""The tutorial's RNN-RBM on aesara, Theano's successor: the baseline that the tutorial itself would be today.

    python -m bench.aesara_tutorial ROLLS.npz                  measure, print JSON
    python -m bench.aesara_tutorial ROLLS.npz --serve          measure when asked (bench.process)
    … --openblas                                               with products by SciPy's OpenBLAS

The algorithm of deeplearning.net's "Modeling and generating sequences of polyphonic music with the RNN-RBM", operation
for operation: scan over the frames for the recurrence, scan over k = 15 steps for the Gibbs chain of all frames of a
subsequence, MRG random numbers, the monitor, SGD; 200 frames are sampled by a scan with a scan of 25 Gibbs steps in
it. float64, compiled to C, one thread. As pip installs it, aesara multiplies matrices through NumPy's C interface;
with --openblas its C code is linked with the OpenBLAS that SciPy's wheel carries, which is what an installation with
a system BLAS would reach. Its environment, apart from the project's, is bench/requirements-aesara.txt; it needs a C++
compiler and says so when there is none.
"""

import argparse
import json
import os
import shutil
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from bench import rolls as npz
from bench.process import Answer, serve
from bench.sizes import GENERATED_FRAMES, GENERATION_STEPS, UPDATES, WARM_UP_UPDATES
from model.config import RECIPES

os.environ.setdefault("AESARA_FLAGS", f"floatX=float64,cxx={shutil.which('g++') or shutil.which('c++') or ''}")
os.environ["AESARA_FLAGS"] += f",base_compiledir={Path(sys.prefix) / 'compiled'}"
import aesara  # type: ignore[import-not-found] # not in the project's environment; reads its flags at import
import aesara.tensor as at  # type: ignore[import-not-found]
from aesara.sandbox.rng_mrg import MRG_RandomStream  # type: ignore[import-not-found]


class AesaraRnnRbm:
    """The tutorial's two functions: `update` of frames (T, n_visible) -> monitor, `sample` () -> (200, n_visible)."""

    def __init__(self) -> None:
        model, training = RECIPES["tutorial"].model, RECIPES["tutorial"].training
        self.n_visible = model.n_visible
        random = np.random.default_rng(0)

        def normal(rows: int, columns: int, std: float) -> Any:
            return aesara.shared(random.normal(0.0, std, (rows, columns)))

        n_hidden, n_recurrent = model.n_hidden, model.n_hidden_recurrent
        self.W = normal(self.n_visible, n_hidden, 0.01)
        self.Wuh, self.Wuv = normal(n_recurrent, n_hidden, 0.0001), normal(n_recurrent, self.n_visible, 0.0001)
        self.Wvu, self.Wuu = normal(self.n_visible, n_recurrent, 0.0001), normal(n_recurrent, n_recurrent, 0.0001)
        self.bv, self.bh, self.bu = (aesara.shared(np.zeros(n)) for n in (self.n_visible, n_hidden, n_recurrent))
        self.parameters = [self.W, self.bv, self.bh, self.Wuh, self.Wuv, self.Wvu, self.Wuu, self.bu]
        self.u0 = at.zeros((n_recurrent,))
        self.random = MRG_RandomStream(seed=0xBEEF)
        self.update = self._compile_update(training.gibbs_steps, training.lr)
        self.sample = self._compile_sample()

    def _gibbs_step(self, v: Any, bv: Any, bh: Any) -> tuple[Any, Any]:
        """Means of v given a sample of h, and a sample of v."""
        mean_h = at.sigmoid(at.dot(v, self.W) + bh)
        h = self.random.binomial(size=mean_h.shape, n=1, p=mean_h, dtype=aesara.config.floatX)
        mean_v = at.sigmoid(at.dot(h, self.W.T) + bv)
        return mean_v, self.random.binomial(size=mean_v.shape, n=1, p=mean_v, dtype=aesara.config.floatX)

    def _chain(self, v: Any, bv: Any, bh: Any, k: int) -> tuple[Any, Any]:
        """The last state of k Gibbs steps from v, and the updates of the random streams."""
        chain, updates = aesara.scan(lambda v: self._gibbs_step(v, bv, bh)[1], outputs_info=[v], n_steps=k)
        return chain[-1], updates

    def _biases(self, u: Any) -> tuple[Any, Any]:
        return self.bv + at.dot(u, self.Wuv), self.bh + at.dot(u, self.Wuh)

    def _next_state(self, v: Any, u: Any) -> Any:
        return at.tanh(self.bu + at.dot(v, self.Wvu) + at.dot(u, self.Wuu))

    def _compile_update(self, k: int, lr: float) -> Any:
        v = at.matrix("v")

        def step(v_t: Any, u: Any, *_: Any) -> list[Any]:
            return [self._next_state(v_t, u), *self._biases(u)]

        (_, bv_t, bh_t), updates = aesara.scan(
            step, sequences=v, outputs_info=[self.u0, None, None], non_sequences=self.parameters
        )
        v_sample, chain_updates = self._chain(v, bv_t[:], bh_t[:], k)
        mean_v, _ = self._gibbs_step(v_sample, bv_t, bh_t)
        monitor = (at.xlogx.xlogy0(v, mean_v) + at.xlogx.xlogy0(1 - v, 1 - mean_v)).sum() / v.shape[0]

        def free_energy(v: Any) -> Any:
            return -(v * bv_t).sum() - at.log(1 + at.exp(at.dot(v, self.W) + bh_t)).sum()

        cost = (free_energy(v) - free_energy(v_sample)) / v.shape[0]
        gradients = at.grad(cost, self.parameters, consider_constant=[v_sample])
        updates.update(chain_updates)
        updates.update({p: p - lr * gradient for p, gradient in zip(self.parameters, gradients, strict=True)})
        return aesara.function([v], monitor, updates=updates)

    def _compile_sample(self) -> Any:
        def step(u: Any, *_: Any) -> tuple[list[Any], Any]:
            v, updates = self._chain(at.zeros((self.n_visible,)), *self._biases(u), GENERATION_STEPS)
            return [v, self._next_state(v, u)], updates

        (v_t, _), updates = aesara.scan(
            step, outputs_info=[None, self.u0], non_sequences=self.parameters, n_steps=GENERATED_FRAMES
        )
        return aesara.function([], v_t, updates=updates)


class Tasks:
    """Measurements on one compiled model that has done `WARM_UP_UPDATES`."""

    def __init__(self, path: Path) -> None:
        if not aesara.config.cxx:
            sys.exit("aesara finds no C++ compiler")
        length = RECIPES["tutorial"].training.batch_size
        self._chunks = [chunk.astype(float) for chunk in npz.subsequences(npz.load(path), length)]
        self._model = AesaraRnnRbm()
        self._next = 0
        self.train(WARM_UP_UPDATES)
        self.piece()

    def train(self, updates: int = UPDATES) -> Answer:
        """Go on training for some updates: frames, seconds, mean monitor (nats per frame)."""
        chunks = [self._chunks[(self._next + i) % len(self._chunks)] for i in range(updates)]
        self._next += updates
        started = time.perf_counter()
        monitor = sum(float(self._model.update(chunk)) for chunk in chunks) / updates
        return {"frames": sum(map(len, chunks)), "seconds": time.perf_counter() - started, "monitor": monitor}

    def piece(self, calls: int = 1) -> Answer:
        """Median seconds of a piece of 200 frames."""
        return {"seconds": median(self._timed_piece() for _ in range(calls))}

    def _timed_piece(self) -> float:
        started = time.perf_counter()
        self._model.sample()
        return time.perf_counter() - started


def link_openblas() -> None:
    """Let aesara's C code call the BLAS inside SciPy's wheel.

    It is found beside the package, under a name with a hash in it; Linux wheels only.
    """
    site = Path(np.__file__).parent.parent
    found = sorted((site / "scipy.libs").glob("libopenblas*.so"))
    if not found:
        sys.exit("SciPy's wheel carries no OpenBLAS here")
    folder, name = found[0].parent, found[0].name
    aesara.config.blas__ldflags = f"-L{folder} -l:{name} -Wl,-rpath,{folder}"


def measure(tasks: Tasks, repeats: int, updates: int) -> Answer:
    """Medians over repeats: frames/s of training and ms a piece."""
    trained = [tasks.train(updates) for _ in range(repeats)]
    return {
        "frames_per_second": round(median(answer["frames"] / answer["seconds"] for answer in trained)),
        "milliseconds_per_piece": round(1e3 * tasks.piece(repeats)["seconds"], 1),
        "monitor": [round(answer["monitor"], 3) for answer in trained],
        "aesara": aesara.__version__,
    }


def main() -> None:
    """Compile, warm up, measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rolls", type=Path)
    parser.add_argument("--serve", action="store_true")
    parser.add_argument("--openblas", action="store_true")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--updates", type=int, default=UPDATES)
    arguments = parser.parse_args()
    if arguments.openblas:
        link_openblas()
    tasks = Tasks(arguments.rolls)
    if arguments.serve:
        serve({"kernel": f"aesara {aesara.__version__}"}, {"train": tasks.train, "piece": tasks.piece})
    else:
        print(json.dumps(measure(tasks, arguments.repeats, arguments.updates)))


if __name__ == "__main__":
    main()
