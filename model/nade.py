"""The neural autoregressive distribution estimator (Larochelle and Murray 2011): an RBM's cousin with exact likelihood.

Keys are decided from the lowest to the highest, with W and bh as an RBM has them and output weights U:

    p(v_i = 1 | v_<i) = sigmoid(bv_i + U_i sigmoid(bh + sum_{j < i, v_j = 1} W_j)')

The hidden layer changes only after a key that sounds, so a frame with n notes takes n + 1 hidden states, not 88.
"""

import torch
from torch import Tensor


def nade_logits(v: Tensor, W: Tensor, U: Tensor, bv: Tensor, bh: Tensor) -> Tensor:
    """Logits of every key given those below: (N, n_visible), for frames v (N, n_visible).

    W, U: (n_visible, n_hidden), bv: (N, n_visible), bh: (N, n_hidden).
    """
    n_frames, n_visible = v.shape
    notes = v.sum(dim=1).long()
    below = (v.cumsum(dim=1) - v).long()  # (N, n_visible): how many keys sound below each
    first = torch.arange(n_frames, device=v.device) + notes.cumsum(dim=0) - notes  # (N,): row of the first state
    frame = torch.repeat_interleave(torch.arange(n_frames, device=v.device), notes + 1)  # (states,)
    rank = torch.arange(len(frame), device=v.device) - first[frame]  # (states,): notes that a state knows of
    known = v[frame] * (below[frame] < rank[:, None])  # (states, n_visible)
    h = torch.sigmoid(known @ W + bh[frame])  # (states, n_hidden)
    outputs = (h @ U.T).flatten()
    return bv + outputs[(first[:, None] + below) * n_visible + torch.arange(n_visible, device=v.device)]
