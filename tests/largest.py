r"""How large the tensors are that something makes on its way, backward passes included."""
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Largest(TorchDispatchMode):
    r"""``largest`` is the number of entries of the largest dense tensor that was made."""
    largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for t in tree_leaves(out):
            if isinstance(t, torch.Tensor) and t.layout == torch.strided:
                # What is stored: an expanded tensor takes no memory.
                self.largest = max(self.largest, t.untyped_storage().nbytes() // t.itemsize)
        return out
