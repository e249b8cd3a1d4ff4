r"""Adversarial and contrastive collaborative filtering on PyTorch Geometric."""
from pyg_advcf import (
    baselines,
    criteria,
    datasets,
    diagnostics,
    loader,
    methods,
    metrics,
    nn,
    ops,
    training,
    transforms,
)
from pyg_advcf.batch import Batch
from pyg_advcf.convert import bipartite, from_link_split, to_link_split
from pyg_advcf.embeddings import Embeddings
from pyg_advcf.interactions import (
    EDGE_TYPE,
    as_graph,
    degrees,
    held_out,
    interaction_data,
    interaction_graph,
    known_pairs,
    resolve_edge_type,
    split_names,
    validate,
)
from pyg_advcf.loader import InteractionLoader
from pyg_advcf.methods import Recommender
from pyg_advcf.metrics import calibrate, evaluate
from pyg_advcf.nn import MF, Cosine, Dot, LightGCN
from pyg_advcf.retriever import Retriever
from pyg_advcf.saving import load
from pyg_advcf.training import BilevelStep, MinMaxStep, SAMStep, Step, fit

__version__ = '0.1.0'

__all__ = ['Batch', 'BilevelStep', 'Cosine', 'Dot', 'EDGE_TYPE', 'Embeddings', 'InteractionLoader',
           'LightGCN', 'MF', 'MinMaxStep', 'Recommender', 'Retriever', 'SAMStep', 'Step',
           'as_graph', 'baselines', 'bipartite', 'calibrate', 'criteria', 'datasets', 'degrees',
           'diagnostics', 'evaluate', 'fit', 'from_link_split', 'held_out', 'interaction_data',
           'interaction_graph', 'known_pairs', 'load', 'loader', 'methods', 'metrics', 'nn', 'ops',
           'resolve_edge_type', 'split_names', 'to_link_split', 'training', 'transforms',
           'validate']
