"""What makes a GPU worth having: the Gibbs chain in one kernel, whole updates as CUDA graphs, pieces in batches.

Plain PyTorch, which runs everywhere, is the oracle and the fallback of all of it. docs/adr/0014 has the reasons.
"""
