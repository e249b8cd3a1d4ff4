import pytest
import torch

from pyg_advcf import Batch, Cosine, Dot, Embeddings


@pytest.mark.parametrize('similarity', [Dot(), Dot(0.3), Cosine(0.2)])
def test_training_and_ranking_agree(similarity):
    z = Embeddings(torch.randn(5, 8), torch.randn(7, 8))
    batch = Batch(torch.tensor([0, 4]), torch.tensor([1, 2]),
                  torch.tensor([[0, 3], [6, 5]]), torch.tensor([0, 1]))
    pos, neg = similarity(z, batch)
    prepared = similarity.prepare(z)
    scores = prepared.user @ prepared.item.t() / similarity.temperature
    assert torch.allclose(pos, scores[batch.user, batch.item], atol=1e-5)
    assert torch.allclose(neg, scores[batch.user.view(-1, 1), batch.neg_item], atol=1e-5)
    for ours, once in zip((pos, neg), Dot(similarity.temperature)(prepared, batch)):
        assert torch.allclose(ours, once, atol=1e-5)


def test_masked_negatives_are_minus_infinity():
    z = Embeddings(torch.randn(2, 4), torch.randn(3, 4))
    mask = torch.tensor([[False, True], [True, True]])
    batch = Batch(torch.tensor([0, 1]), torch.tensor([0, 1]), torch.tensor([0, 1]),
                  torch.tensor([0, 1]), mask)
    assert torch.equal(Dot()(z, batch)[1].isneginf(), ~mask)


@pytest.mark.parametrize('temperature', [0, -0.1, float('nan')])
def test_bad_temperature(temperature):
    for similarity in (Cosine, Dot):
        with pytest.raises(ValueError, match="'temperature' is"):
            similarity(temperature)
