r"""Embeddings that hold only some rows, as a backbone returns them for a batch."""
import torch

from pyg_advcf import Embeddings
from pyg_advcf.embeddings import Index


def rows_of(batch, *tables):
    r"""The rows of complete ``tables`` that the batch reads, with the same index objects for all.

    Gradients reach the complete tables.
    """
    z = tables[0]
    user = Index.of(batch.user, z.user.size(0))
    item = Index.of(torch.cat([batch.item, batch.neg_item.reshape(-1)]), z.item.size(0))
    # With all rows, or the first ones in order, ids and rows would be the same.
    assert user.ids.numel() < z.user.size(0) and item.ids.numel() < z.item.size(0)
    assert not torch.equal(user.ids, torch.arange(user.ids.numel()))
    assert not torch.equal(item.ids, torch.arange(item.ids.numel()))
    return [Embeddings(z.user[user.ids], z.item[item.ids], user, item) for z in tables]


def scattered(batch, step=2):
    r"""The batch with its ids spread out, so that it leaves some ids out."""
    return batch._replace(user=step * batch.user + 1, item=step * batch.item + 1,
                          neg_item=step * batch.neg_item + 1)
