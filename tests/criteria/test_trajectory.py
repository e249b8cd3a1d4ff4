import pytest
import torch

from pyg_advcf import MF, InteractionLoader, fit, methods
from pyg_advcf.criteria import TrajectoryPenalty
from pyg_advcf.criteria.functional import trajectory


@pytest.mark.parametrize('lag', [1, 2, 3])
@pytest.mark.parametrize('warmup_epochs', [0, 1, 5])
def test_equals_a_dictionary_under_any_shuffling(lag, warmup_epochs):
    penalty = TrajectoryPenalty(20, weight=0.7, lag=lag, warmup_epochs=warmup_epochs).double()
    penalty.score = penalty.score.double()
    history = {}
    for epoch in range(12):
        # Some interactions are left out of an epoch now and then.
        ids = torch.randperm(20)[:15 + epoch % 6]
        for part in ids.split(4):
            pos = torch.randn(part.numel(), dtype=torch.float64, requires_grad=True)
            found = penalty(pos, part, epoch)
            gap = [float(p) - history[k, epoch - lag] if (k, epoch - lag) in history else 0.
                   for k, p in zip(part.tolist(), pos)]
            gap = torch.tensor(gap, dtype=torch.float64) * (epoch >= warmup_epochs)
            assert float(found) == pytest.approx(0.7 * float(gap.square().mean()), abs=1e-14)
            if found.requires_grad:
                grad, = torch.autograd.grad(found, pos)
                assert torch.allclose(grad, 2 * 0.7 * gap / part.numel(), atol=1e-14)
            if epoch >= warmup_epochs - lag:
                history.update({(k, epoch): float(p) for k, p in zip(part.tolist(), pos)})
    assert not penalty.score.requires_grad


def test_unchanged_scores_cost_nothing_and_nothing_is_kept_before_time():
    penalty = TrajectoryPenalty(4, weight=1., lag=2, warmup_epochs=5)
    pos, ids = torch.randn(4), torch.arange(4)
    for epoch in range(8):
        assert penalty(pos, ids, epoch) == 0
        assert bool((penalty.turn >= 0).any()) == (epoch >= 3) == penalty.records(epoch)
    assert penalty(pos + 1, ids, 8) == pytest.approx(1., abs=1e-6)
    penalty.reset_parameters()
    assert penalty(pos, ids, 10) == 0


def test_an_old_turn_is_not_taken_for_the_last():
    penalty = TrajectoryPenalty(1, weight=1., lag=2, warmup_epochs=0)
    penalty(torch.tensor([5.]), torch.tensor([0]), 0)
    assert penalty(torch.tensor([1.]), torch.tensor([0]), 4) == 0  # Not seen in epoch 2.
    assert penalty(torch.tensor([3.]), torch.tensor([0]), 6) == 4
    assert penalty(torch.tensor([9.]), torch.tensor([0]), 6) == 0  # Already of this epoch.


def test_evaluation_reads_and_does_not_record():
    penalty = TrajectoryPenalty(2, weight=1., lag=1, warmup_epochs=0)
    penalty(torch.tensor([1.]), torch.tensor([0]), 0)
    before = penalty.score.clone(), penalty.turn.clone()
    penalty.eval()
    assert penalty(torch.tensor([3.]), torch.tensor([0]), 1) == 4
    assert torch.equal(penalty.score, before[0]) and torch.equal(penalty.turn, before[1])


def test_turns_beyond_16_bits():
    penalty = TrajectoryPenalty(1, weight=1., lag=1, warmup_epochs=0)
    for epoch in range(2**15 - 2, 2**15 + 2):
        assert penalty(torch.tensor([2. * epoch]), torch.tensor([0]), epoch) == (
            0 if epoch == 2**15 - 2 else 4)


def test_half_precision_and_state_dict():
    kept = TrajectoryPenalty(3, weight=1., lag=1, warmup_epochs=0, dtype='float16')
    kept(torch.tensor([1., 2., 3.]), torch.arange(3), 0)
    other = TrajectoryPenalty(3, weight=1., lag=1, warmup_epochs=0, dtype='float16')
    other.load_state_dict(kept.state_dict())
    assert other.score.dtype == torch.float16
    scores = torch.tensor([2., 2., 2.], dtype=torch.bfloat16)
    assert other(scores, torch.arange(3), 1) == kept(scores, torch.arange(3), 1)
    assert kept.score[0].tolist() == [2., 2., 2.]


def test_resumes_exactly(toy, tmp_path):
    ends = []
    for stops in ([8], [4, 8]):
        for epochs in stops:
            torch.manual_seed(0)
            method = methods.SharpCF(MF(toy, dim=4), weight=1., lag=2, warmup_epochs=3)
            fit(method, InteractionLoader(toy, 64, seed=1), epochs=epochs, lr=0.05,
                evaluate_every=2, checkpoint=tmp_path / f'{len(stops)}.pt', resume=True,
                patience=None, progress=False)
        ends.append(method.state_dict())
    assert all(torch.equal(ends[0][key], ends[1][key]) for key in ends[0])


def test_function():
    pos = torch.tensor([1., 2.], requires_grad=True)
    before = torch.tensor([0., 5.], requires_grad=True)
    assert trajectory(pos, before) == 5.
    assert trajectory(pos, before, torch.tensor([True, False])) == 0.5
    trajectory(pos, before).backward()
    assert pos.grad.tolist() == [1., -3.] and before.grad is None


def test_bad_arguments():
    for name, value in (('weight', -1), ('lag', 0), ('warmup_epochs', -1), ('num_interactions', 0)):
        with pytest.raises(ValueError, match=f"'{name}' is"):
            TrajectoryPenalty(**{'num_interactions': 5, name: value})
    penalty = TrajectoryPenalty(5)
    with pytest.raises(ValueError, match="'id' holds the id 5"):
        penalty(torch.zeros(1), torch.tensor([5]), 0)
    with pytest.raises(ValueError, match="'epoch' is -1"):
        penalty(torch.zeros(1), torch.tensor([0]), -1)
    with pytest.raises(MemoryError, match=r"need 1,800,000,000,000,000 bytes.*dtype='float16'"):
        TrajectoryPenalty(10**14, lag=3)
