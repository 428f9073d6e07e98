"""What this library is timed beside: the same work in PyTorch, smplx and NumPy.

Peers are in the repository and not in the wheel (setup.cfg).
"""
