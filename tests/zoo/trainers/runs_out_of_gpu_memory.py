"""Fails as torch does where the GPU's memory is used up.

state: failed
class: oom
exit: 1
"""

raise SystemExit("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB")
