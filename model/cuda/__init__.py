"""What makes a GPU worth having: chain and recurrence as kernels, whole updates as CUDA graphs, pieces in batches.

Plain PyTorch, which runs everywhere, is the oracle and the fallback of all of it. docs/adr/0016 has the reasons.
"""
