r"""Full-ranking evaluation and its statistics."""
from pyg_advcf.metrics.alignment import alignment_uniformity
from pyg_advcf.metrics.by_degree import evaluate_by_degree
from pyg_advcf.metrics.by_user import evaluate_by_user
from pyg_advcf.metrics.calibrate import Calibration, calibrate
from pyg_advcf.metrics.collector import METRICS
from pyg_advcf.metrics.evaluate import evaluate
from pyg_advcf.metrics.significance import interval, paired_test

__all__ = ['Calibration', 'METRICS', 'alignment_uniformity', 'calibrate', 'evaluate',
           'evaluate_by_degree', 'evaluate_by_user', 'interval', 'paired_test']
