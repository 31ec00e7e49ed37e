"""The fused Gibbs chain: on a GPU where there is one, elsewhere under Triton's interpreter (see conftest.py)."""

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import softplus

from model.cuda import loops, trial
from model.cuda.chains import FusedChains, KeyedChain, PlainChains, keyed_chain, settle, tried
from model.cuda.philox import philox, uniform
from model.rbm import gibbs_chain

pytest.importorskip("triton", reason="Triton has no wheel for this machine, and workers then take the plain chain")
from model.cuda.chain import FEW, MANY, fused_chain

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
ROWS = None if torch.cuda.is_available() else 4096
SHARED_MEMORY = 227
"""KiB that a program can have on an H100, of compute capability 9.0."""


@pytest.fixture(autouse=True)
def quiet_numpy() -> Iterator[None]:
    """Units that are not there take exp(1e9), infinite as it should be; the interpreter's NumPy would warn."""
    with np.errstate(over="ignore"):
        yield


def wide(v: Tensor, W: Tensor, bv: Tensor, bh: Tensor, k: int, keys: Tensor, stream: int = 0) -> Tensor:
    """The fused chain, with blocks of many rows where it is interpreted, so that NumPy has much to do at a time."""
    return fused_chain(v, W, bv, bh, k, keys, stream, rows=ROWS)


def rbm(n_visible: int, n_hidden: int, n_rows: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    W = 0.3 * torch.randn(n_visible, n_hidden, generator=generator)
    biases = (torch.randn(n_rows, n, generator=generator).to(DEVICE) for n in (n_visible, n_hidden))
    return (W.to(DEVICE), *biases)


def keys(n: int) -> Tensor:
    return torch.randint(2**62, (n,), generator=torch.Generator().manual_seed(5)).to(DEVICE)


def test_philox_is_that_of_its_authors() -> None:
    """Known answers of Random123 1.14, philox4x32 with 10 rounds."""
    ones = 0xFFFFFFFF
    for counter, key, answer in (
        ((0, 0, 0, 0), 0, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((ones,) * 4, 2**64 - 1, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    ):
        words = philox(key, tuple(torch.tensor([word]) for word in counter))
        assert tuple(int(word) for word in words) == answer


def test_uniform_numbers_never_reach_zero_or_one() -> None:
    ends = uniform(torch.tensor([0, 0xFFFFFFFF]))
    assert 0 < ends[0] < ends[1] < 1


@pytest.mark.parametrize(("n_visible", "n_hidden", "n_rows"), [(8, 6, 70), (88, 150, 65), (128, 300, 20), (4, 384, 30)])
def test_the_fused_chain_is_the_plain_one_number_for_number(n_visible: int, n_hidden: int, n_rows: int) -> None:
    """One comparison in millions may fall to the other side, as sums are formed in another order."""
    parts = rbm(n_visible, n_hidden, n_rows)
    start = (torch.rand(n_rows, n_visible) < 0.3).float().to(DEVICE)
    fused, plain = (chain(start, *parts, 7, keys(n_rows), 11) for chain in (wide, keyed_chain))
    assert (fused == plain).all(dim=1).float().mean() > 0.98
    assert (keyed_chain(start, *parts, 7, keys(n_rows), 12) != plain).any()


@pytest.mark.parametrize("chain", [wide, keyed_chain])
def test_a_row_depends_on_its_key_and_not_on_the_rows_beside_it(chain: KeyedChain) -> None:
    W, bv, bh = rbm(20, 30, 90)
    start = torch.zeros(1, 20, device=DEVICE)
    whole = chain(start, W, bv, bh, 5, keys(90), 2)
    part = chain(start, W, bv[50:60], bh[50:60], 5, keys(90)[50:60], 2)
    assert (whole[50:60] == part).all()


def enumerated(W: Tensor, bv: Tensor, bh: Tensor) -> np.ndarray:
    v = torch.tensor(list(product([0.0, 1.0], repeat=len(bv))))
    return torch.softmax(v @ bv + softplus(bh + v @ W).sum(1), 0).numpy()


@pytest.mark.parametrize("seed", [0, 1])
def test_a_long_chain_visits_states_as_often_as_enumeration_says(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    W, bv, bh = (torch.randn(shape, generator=generator) for shape in ((5, 4), (5,), (4,)))
    n = 16_384
    start = torch.zeros(1, 5, device=DEVICE)
    rows = (bias.expand(n, -1).contiguous().to(DEVICE) for bias in (bv, bh))
    v = fused_chain(start, W.to(DEVICE), *rows, 30, keys(n), 0, rows=ROWS).cpu().numpy()
    frequency = np.bincount(v.astype(int) @ [16, 8, 4, 2, 1], minlength=32) / n
    expected = enumerated(W, bv, bh)
    assert np.abs(frequency - expected).max() < 5 * np.sqrt(expected * (1 - expected) / n).max()


def test_samples_have_the_moments_of_the_plain_chain() -> None:
    """Means and second moments of 88 keys, rows of other biases side by side."""
    n = 4096
    W, bv, bh = rbm(88, 150, 2)
    bv, bh = (bias.repeat(n // 2, 1) for bias in (bv - 1, bh))
    start = torch.zeros(n, 88, device=DEVICE)
    generator = torch.Generator(DEVICE).manual_seed(1)
    fused = FusedChains(wide, 384).free(start, W, bv, bh, 6, generator).cpu().numpy()
    plain = gibbs_chain(start, W, bv, bh, 6, generator).cpu().numpy()
    for half in (0, 1):
        a, b = fused[half::2], plain[half::2]
        assert np.abs(a.mean(0) - b.mean(0)).max() < 5 * np.sqrt(2 * 0.25 / (n / 2))
        assert np.abs(a.T @ a - b.T @ b).max() / (n / 2) < 5.5 * np.sqrt(2 * 0.25 / (n / 2))


@pytest.mark.parametrize(
    ("n_hidden", "shape"), [(150, MANY), (150, FEW), (256, MANY), (320, MANY)], ids=["many", "few", "256", "320"]
)
def test_the_kernel_compiles_for_a_gpu_and_fits_on_it(n_hidden: int, shape: tuple[int, int]) -> None:
    """With the compiler that Triton brings along; in a process of its own, as it is interpreted in this one."""
    script = f"""
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from model.cuda.chain import blocks, chain_kernel

pointers = dict.fromkeys(("v_in", "v_out", "weights", "visible_biases", "hidden_biases"), "*fp32")
names = "n_visible", "n_hidden", "ROWS", "VISIBLE", "HIDDEN0", "HIDDEN1", "HIDDEN2"
sizes = dict(zip(names, (88, {n_hidden}, {shape[0]}, *blocks(88, {n_hidden}))))
scalars = dict.fromkeys(("stream", "n_rows", "k"), "i32")
signature = {{**pointers, "keys": "*i64", **scalars, **dict.fromkeys(sizes, "constexpr")}}
source = ASTSource(chain_kernel, signature, constexprs=sizes)
kernel = triton.compile(source, target=GPUTarget("cuda", 90, 32), options={{"num_warps": {shape[1]}}})
assert len(kernel.asm["cubin"])
print(kernel.metadata.shared)
"""
    environment = os.environ | {"TRITON_INTERPRET": "0"}
    told = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert int(told.stdout) <= SHARED_MEMORY * 1024


# --- the choice at a worker's start ---------------------------------------------------------------------------------


def slow(*args: object) -> Tensor:
    """A plain chain that takes much longer than it has to."""
    for _ in range(5):
        found = keyed_chain(*args)  # type: ignore[arg-type]
    return found


def wrong(v: Tensor, W: Tensor, bv: Tensor, bh: Tensor, k: int, keys: Tensor, stream: int = 0) -> Tensor:
    """A chain that takes the hidden biases for less than they are."""
    return keyed_chain(v, W, bv, bh - 0.3, k, keys, stream)


def broken(*args: object) -> Tensor:
    raise RuntimeError("out of resource: shared memory")


@pytest.fixture
def slower_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes every chain look faster than the plain one."""
    times = iter([0.001, 0.002] * 10)
    monkeypatch.setattr(trial, "seconds", lambda *_: next(times))


@pytest.mark.usefixtures("slower_plain")
def test_a_chain_that_is_right_and_faster_is_taken(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert tried(keyed_chain, DEVICE, 2048).name == "triton"
    assert "fused Gibbs chains on" in caplog.text
    assert "384 hidden units" in caplog.text


@pytest.mark.usefixtures("slower_plain")
def test_a_wrong_chain_is_not_taken_however_fast(caplog: pytest.LogCaptureFixture) -> None:
    assert tried(wrong, DEVICE, 4096).name == "torch"
    assert "samples another distribution" in caplog.text


@pytest.mark.parametrize(("chain", "words"), [(slow, "takes"), (broken, "does not run: RuntimeError: out of resource")])
def test_a_slow_or_broken_chain_is_not_taken(chain: KeyedChain, words: str, caplog: pytest.LogCaptureFixture) -> None:
    assert tried(chain, DEVICE, 64).name == "torch"
    assert words in caplog.text


@pytest.mark.usefixtures("slower_plain")
def test_a_chain_that_has_no_room_for_many_units_is_taken_for_fewer() -> None:
    def narrow(*args: Tensor) -> Tensor:
        return keyed_chain(*args) if args[1].shape[1] <= 256 else broken()  # type: ignore[arg-type]

    found = tried(narrow, DEVICE, 2048)
    assert found.name == "triton"
    W, bv, bh = rbm(8, 257, 3)
    start = torch.zeros(1, 8, device=DEVICE)
    assert (found.keyed(start, W, bv, bh, 2, keys(3), 0) == keyed_chain(start, W, bv, bh, 2, keys(3), 0)).all()
    assert found.free(start, W, bv, bh, 2, torch.Generator(DEVICE)).shape == (3, 8)


def test_without_triton_the_plain_chain_is_taken(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "triton", None)
    for module in ("model.cuda.chain", "model.cuda.recurrence"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    with caplog.at_level(logging.INFO):
        assert isinstance(settle(DEVICE), PlainChains)
    assert "plain Gibbs chains" in caplog.text
    assert "triton" in caplog.text


def test_the_kernel_itself_is_tried_and_not_taken_where_it_is_slower(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under the interpreter it is right, and slow."""
    monkeypatch.setattr(trial, "TIMES", 1)
    if DEVICE.type == "cpu":
        monkeypatch.setattr(loops, "TRIED_FRAMES", 2)
        monkeypatch.setattr(loops, "TRIED_SEQUENCES", 2)
    assert settle(DEVICE, n_rows=64).name == ("triton" if DEVICE.type == "cuda" else "torch")
