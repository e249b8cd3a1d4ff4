import torch

from pyg_advcf import MF, Embeddings


def test_is_its_tables(toy):
    model = MF(toy, dim=8)
    z = model()
    assert z.user is model.user_embedding.weight and z.item is model.item_embedding.weight
    x = Embeddings(torch.ones(30, 8), torch.ones(40, 8))
    assert model(x=x).user is x.user
