r"""Configuration of Sphinx."""
import os
import sys
import warnings

sys.path.insert(0, os.path.dirname(__file__))

from pages import write_all  # noqa: E402
from tables import supported, what_exists  # noqa: E402
from use_in_pyg import write as write_use_in_pyg  # noqa: E402

import pyg_advcf  # noqa: E402

project = 'pyg_advcf'
copyright = '2026, the pyg_advcf authors'
release = pyg_advcf.__version__
extensions = [
    'sphinx.ext.autodoc', 'sphinx.ext.autosummary', 'sphinx.ext.napoleon', 'sphinx.ext.mathjax',
    'sphinx.ext.viewcode', 'sphinx_gallery.gen_gallery', 'myst_parser',
]
html_theme = 'furo'
html_title = 'pyg_advcf'
exclude_patterns = ['_build', 'drop_in', 'pages', 'results_templates', 'tutorial_scripts',
                    'tutorials/*.ipynb', 'tutorials/*.py', 'sg_execution_times.rst']

autosummary_generate = True
autosummary_ignore_module_all = False
autodoc_member_order = 'bysource'
autodoc_default_options = {'members': True, 'show-inheritance': True}
autodoc_typehints = 'description'
autodoc_typehints_description_target = 'documented'
napoleon_custom_sections = [('Shapes', 'params_style')]
napoleon_use_ivar = True
myst_enable_extensions = ['dollarmath']
suppress_warnings = ['config.cache']

# The tutorials are scripts, run at every build; a failing one fails the build.
sphinx_gallery_conf = {
    'examples_dirs': 'tutorial_scripts',
    'gallery_dirs': 'tutorials',
    'filename_pattern': r'plot_',
    'abort_on_example_error': True,
    'download_all_examples': False,
    'show_memory': False,
    'plot_gallery': 'True',
}
warnings.filterwarnings('ignore', category=DeprecationWarning)

# Pages generated from the code and from the committed results.
_here = os.path.dirname(__file__)
with open(os.path.join(_here, 'what_exists.md'), 'w', encoding='utf-8') as f:
    f.write('# What exists\n\n' + what_exists() + '\n\n## Which method runs over which backbone\n\n'
            + supported() + '\n\nWhere it does not, the constructor says why. The step is that of '
            "the default arguments: `ACCF` with another `weighting` needs `Step`.\n")
write_all()
write_use_in_pyg()
