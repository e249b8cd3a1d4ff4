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


def test_ranking_scores_follow_their_formula():
    torch.manual_seed(0)
    z = Embeddings(torch.randn(5, 8), torch.randn(7, 8))
    popularity = torch.tensor([0, 1, 2, 5, 9, 40, 3])
    norm = z.item.norm(dim=1) / z.item.norm(dim=1).mean()
    for kind, own in ((Cosine, 0.), (Dot, 1.)):
        plain = kind(0.2)
        user, item = plain.prepare(z)
        score = user @ item.t() / 0.2
        assert torch.allclose(plain.rank(z).user @ plain.rank(z).item.t() / 0.2, score)
        for power in (0., 0.5, 1., 2.):
            for prior in (0., 0.7, -0.5):
                ranked = kind(0.2, norm_power=power, prior=prior).rank(z, popularity)
                expected = score * norm**(power - own) + prior * (popularity + 1).log()
                assert torch.allclose(ranked.user @ ranked.item.t() / 0.2, expected, atol=1e-4)
                assert ranked.item.size(1) == 8 + (prior != 0)


def test_a_cosine_with_the_norm_ranks_as_the_dot_product():
    z = Embeddings(torch.randn(5, 8), torch.randn(30, 8))
    a, b = (s.rank(z).user @ s.rank(z).item.t() for s in (Cosine(0.2, norm_power=1.), Dot()))
    assert torch.equal(a.argsort(1), b.argsort(1))


def test_training_scores_know_no_prior():
    z = Embeddings(torch.randn(2, 4), torch.randn(3, 4))
    batch = Batch(*(torch.tensor(t) for t in ([0, 1], [0, 1], [[2], [0]], [0, 1])))
    plain, ranked = Cosine(0.2), Cosine(0.2, norm_power=1., prior=0.8)
    assert all(map(torch.equal, plain(z, batch), ranked(z, batch)))
    assert torch.equal(plain.prepare(z).item, ranked.prepare(z).item)


def test_items_without_direction_score_their_prior_alone():
    z = Embeddings(torch.randn(2, 4), torch.zeros(3, 4))
    for power in (-1., 0.5, 2.):
        ranked = Dot(norm_power=power, prior=1.).rank(z, torch.tensor([0, 1, 2]))
        scores = ranked.user @ ranked.item.t()
        assert torch.allclose(scores, torch.tensor([1., 2., 3.]).log().expand(2, 3), atol=1e-6)


def test_what_was_calibrated_is_kept_with_the_weights():
    similarity = Cosine(0.2)
    similarity.prior, similarity.norm_power = 0.8, 0.5
    assert 'prior=0.8' in repr(similarity) and 'norm_power=0.5' in repr(similarity)
    other = Cosine(0.2)
    other.load_state_dict(similarity.state_dict())
    assert (other.prior, other.norm_power) == (0.8, 0.5)


@pytest.mark.parametrize('value', [float('nan'), float('inf'), '1', None, True])
def test_bad_priors(value):
    with pytest.raises(ValueError, match="'prior' is .*finite number"):
        Cosine(prior=value)
    with pytest.raises(ValueError, match="'prior' is .*finite number"):
        Cosine().prior = value


def test_a_prior_needs_the_popularity():
    z = Embeddings(torch.randn(2, 4), torch.randn(3, 4))
    with pytest.raises(ValueError, match="needs 'popularity'"):
        Dot(prior=1.).rank(z)
    with pytest.raises(ValueError, match="'popularity'"):
        Dot(prior=1.).rank(z, torch.tensor([1, 2]))
