r"""Backbones, their convolution, and the similarities that training and ranking share."""
from pyg_advcf.nn.backbone import Backbone, Encoder, Recommendations
from pyg_advcf.nn.bipartite_conv import BipartiteConv
from pyg_advcf.nn.dccf import DCCF
from pyg_advcf.nn.lightgcl import LightGCL
from pyg_advcf.nn.lightgcn import LightGCN
from pyg_advcf.nn.mf import MF
from pyg_advcf.nn.sampled_lightgcn import SampledLightGCN
from pyg_advcf.nn.similarity import Cosine, Dot, Similarity
from pyg_advcf.nn.table_backbone import FeatureEncoder, TableBackbone
from pyg_advcf.nn.ultragcn import UltraGCN
from pyg_advcf.nn.vgae import VGAE
from pyg_advcf.nn.wrapped import Wrapped
from pyg_advcf.registry import import_modules

__all__ = ['Backbone', 'BipartiteConv', 'Cosine', 'DCCF', 'Dot', 'Encoder', 'FeatureEncoder',
           'LightGCL', 'LightGCN', 'MF', 'Recommendations', 'SampledLightGCN', 'Similarity',
           'TableBackbone', 'UltraGCN', 'VGAE', 'Wrapped']

import_modules(__name__, __path__)
