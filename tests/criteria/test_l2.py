import pytest
import torch

from pyg_advcf import Batch, Embeddings
from pyg_advcf.criteria import EmbeddingL2

BATCH = Batch(torch.tensor([0, 0]), torch.tensor([1, 2]), torch.tensor([[2, 2], [0, 1]]),
              torch.tensor([0, 1]))


@pytest.mark.parametrize('negatives', [False, True])
def test_counts_the_rows_of_the_batch(negatives):
    x = Embeddings(torch.randn(3, 4, requires_grad=True), torch.randn(4, 4, requires_grad=True))
    loss = EmbeddingL2(0.5, negatives)(x, BATCH)
    rows = [x.user[0], x.user[0], x.item[1], x.item[2]]
    if negatives:
        rows += [x.item[2], x.item[2], x.item[0], x.item[1]]
    assert torch.allclose(loss, 0.5 * sum(r.square().sum() for r in rows) / 4)
    loss.backward()
    assert x.user.grad[1:].eq(0).all() and x.item.grad[3].eq(0).all()


def test_negative_weight():
    with pytest.raises(ValueError, match="'weight' is -1"):
        EmbeddingL2(-1)
