import inspect

import pytest

import pyg_advcf
from pyg_advcf import (
    MF,
    Recommender,
    baselines,
    criteria,
    datasets,
    diagnostics,
    methods,
    nn,
    training,
    transforms,
)
from pyg_advcf.registry import (
    BACKBONES,
    CRITERIA,
    DATASETS,
    METHODS,
    Registry,
    import_modules,
)


def test_registries_are_filled():
    assert {'coat', 'yahoo_r3', 'kuairec', 'ml-1m', 'gowalla', 'yelp2018', 'amazon_book',
            'amazon_pet', 'synthetic'} == set(DATASETS)
    assert {'mf', 'lightgcn', 'vgae', 'ultragcn', 'lightgcl', 'dccf'} <= set(BACKBONES)
    assert {'bpr', 'bce', 'infonce', 'advinfonce', 'hinge', 'warp', 'dcl', 'infol1o', 'supcon',
            'ccl', 'bsl', 'bc', 'adaptau', 'sdro', 'bir'} <= set(CRITERIA)
    assert {'bpr', 'bce', 'infonce', 'advinfonce', 'uniform', 'hinge', 'warp', 'dcl', 'infol1o',
            'supcon', 'ccl', 'bsl', 'directau', 'bc', 'adaptau', 'sdro', 'bir', 'xir',
            'invcf', 'apr', 'sharpcf', 'simgcl', 'xsimgcl', 'accf', 'sgl', 'ncl', 'lightgcl',
            'dccf', 'ultragcn'} <= set(METHODS)


def test_every_entry_is_callable_with_a_backbone_first():
    for name, build in METHODS.items():
        first, *others = inspect.signature(build).parameters.values()
        assert first.name == 'backbone' and first.default is first.empty, name
        assert all(other.default is not other.empty for other in others), name


def test_unknown_name():
    with pytest.raises(ValueError, match="'dataset' is 'yahoo'.*Did you mean 'yahoo_r3'"):
        DATASETS['yahoo']
    assert 'yahoo' not in DATASETS


def test_a_name_is_taken_once():
    registry = Registry('thing')
    registry.register('a')(int)
    with pytest.raises(ValueError, match="thing name 'a' is taken"):
        registry.register('a')(float)
    assert dict(registry) == {'a': int}


def test_a_new_file_is_registered_by_being_there(toy, tmp_path, monkeypatch):
    (tmp_path / 'recipes').mkdir()
    (tmp_path / 'recipes' / '__init__.py').write_text('')
    (tmp_path / 'recipes' / 'mine.py').write_text(
        "from pyg_advcf.criteria import BPR\nfrom pyg_advcf.methods import Recommender, SGL\n"
        "from pyg_advcf.registry import METHODS\n"
        "@METHODS.register('mine')\ndef mine(backbone, l2=0.1):\n"
        "    return Recommender(backbone, BPR(), l2=l2)\n"
        "@METHODS.register('other')\nclass Other(SGL):\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(METHODS, '_entries', dict(METHODS._entries))
    import recipes
    assert 'mine' not in METHODS
    import_modules('recipes', recipes.__path__)
    assert METHODS['other'].__name__ == 'Other'
    recommender = METHODS['mine'](MF(toy, dim=4))  # A builder or a class.
    assert isinstance(recommender, Recommender) and recommender.l2.weight == 0.1


def test_no_two_public_classes_share_a_name():
    packages = (pyg_advcf, baselines, criteria, datasets, diagnostics, methods, nn, training,
                transforms)
    classes = {}
    for package in packages:
        for name in package.__all__:
            value = getattr(package, name)
            if inspect.isclass(value):
                classes.setdefault(name, set()).add(value)
    assert {name: found for name, found in classes.items() if len(found) > 1} == {}
    assert len(classes) > 80
