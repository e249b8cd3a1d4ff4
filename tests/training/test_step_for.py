import pytest
import torch

from pyg_advcf import (
    MF,
    BilevelStep,
    InteractionLoader,
    LightGCN,
    MinMaxStep,
    Recommender,
    Step,
    criteria,
    methods,
)
from pyg_advcf.training import step_for
from pyg_advcf.transforms import RandomSplit


@pytest.fixture
def data(toy):
    return RandomSplit(val=0., outer=0.1, per_user=False)(toy)


@pytest.mark.parametrize('build, kind', [
    (methods.bpr, Step),
    (methods.uniform, Step),
    (methods.advinfonce, MinMaxStep),
    (lambda b: methods.advinfonce(b, hardness='mlp'), MinMaxStep),
    (lambda b: methods.advinfonce(b, hardness='random'), Step),
    (lambda b: methods.ACCF(b, weighting='none'), Step),
    (lambda b: methods.ACCF(b, weighting='joint'), Step),
    (lambda b: methods.ACCF(b, weighting='bilevel'), BilevelStep),
    (methods.ACCF, BilevelStep),
    (methods.BC, Step),
], ids=range(10))
def test_follows_from_what_there_is_to_train(data, build, kind):
    recommender, loader = build(LightGCN(data, dim=4)), InteractionLoader(data, 64, 4)
    step = step_for(recommender, loader, lr=0.3)
    assert type(step) is kind and step.recommender is recommender
    assert step.updater.optimizer.param_groups[0]['lr'] == 0.3
    assert step_for(recommender, loader).updater.optimizer.param_groups[0]['lr'] == 1e-3
    step.on_epoch_start(0, loader)
    assert step(next(iter(loader))).isfinite()


def test_takes_the_arguments_of_the_step(data):
    loader = InteractionLoader(data, 64, 4)
    step = step_for(methods.advinfonce(MF(data, dim=4)), loader, adversary_lr=0.2, interval=7)
    assert step.interval == 7
    assert step.adversary_updater.optimizer.param_groups[0]['lr'] == 0.2
    step = step_for(methods.ACCF(MF(data, dim=4), weighting='bilevel'), loader, outer_lr=0.2,
                    mode='alternating')
    assert step.mode == 'alternating'
    assert step.outer_updater.optimizer.param_groups[0]['lr'] == 0.2
    with pytest.raises(ValueError, match="'argument of Step' is 'interval', which is not known"):
        step_for(methods.bpr(MF(data, dim=4)), loader, interval=7)
    with pytest.raises(ValueError, match="'lr' is -1"):
        step_for(methods.bpr(MF(data, dim=4)), loader, lr=-1)


def test_bad_arguments(data):
    method, loader = methods.bpr(MF(data, dim=4)), InteractionLoader(data, 64)
    with pytest.raises(ValueError, match="'recommender' is MF.*needs to be a Recommender"):
        step_for(MF(data, dim=4), loader)
    with pytest.raises(ValueError, match="'loader' is .* needs to be an InteractionLoader"):
        step_for(method, [1, 2])


def test_held_out_pairs_come_as_the_others_do(data):
    loader = InteractionLoader(data, 7, 3, seed=5)
    step = step_for(methods.ACCF(MF(data, dim=4), weighting='bilevel'), loader)
    outer = step.outer_loader
    assert (outer.split, outer.batch_size, outer.num_neg, outer.seed) == ('outer', 7, 3, 5)
    assert outer.data is data


def test_without_held_out_pairs_it_is_an_error_that_says_how_to_split(toy):
    method = methods.ACCF(MF(toy, dim=4), weighting='bilevel')
    with pytest.raises(ValueError, match=r"no split 'outer'; split it with RandomSplit\(.*outer="):
        step_for(method, InteractionLoader(toy))


def test_an_adversary_of_ones_own(toy):
    class Tilted(criteria.Criterion):
        r"""An adversary that makes one item as hard as it can, within bounds."""
        def __init__(self):
            super().__init__()
            self.tilt = torch.nn.Parameter(torch.zeros(40))

        def adversary_parameters(self):
            return [self.tilt]

        def row_losses(self, pos, neg, batch):
            hard = neg + self.tilt.tanh()[batch.neg_item]
            return criteria.functional.infonce(pos, hard, 'none')

        def adversary_loss_and_log(self, pos, neg, batch):
            loss = -self(pos.detach(), neg.detach(), batch)
            return loss, {'gain': -loss.detach()}

    recommender = Recommender(MF(toy, dim=4), Tilted())
    loader = InteractionLoader(toy, 64, 4)
    step = step_for(recommender, loader, interval=1, offset=0, adversary_lr=0.1)
    assert isinstance(step, MinMaxStep)
    step.on_epoch_start(0, loader)
    step(next(iter(loader)))
    assert not recommender.criterion.tilt.any()  # Not in a step of the recommender.
    log = step.on_epoch_start(1, loader)
    assert log['gain'] == -log['adversary_loss'] and recommender.criterion.tilt.gt(0).any()
