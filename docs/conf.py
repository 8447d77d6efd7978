"""The configuration of Sphinx: `docs/build` makes the pages."""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
# The configs are read from the checkout, so the package is too.
sys.path[:0] = [str(HERE / '_ext'), str(HERE.parent)]

project = 'adrpo_jax'
author = ''

extensions = [
  'myst_parser',
  'sphinx.ext.autodoc',
  'sphinx.ext.napoleon',
  'sphinx.ext.viewcode',
  'docstrings',
  'generated_pages',
]
exclude_patterns = ['_build', '_generated', '_ext']
source_suffix = {'.md': 'markdown'}

myst_enable_extensions = ['colon_fence']
myst_heading_anchors = 3

autodoc_member_order = 'bysource'
autodoc_typehints = 'none'  # The docstrings give shapes, which say more.
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 72
add_module_names = False

html_theme = 'sphinx_book_theme'
html_title = 'adrpo_jax'
html_static_path = ['_static']
html_css_files = ['tables.css']
html_theme_options = {'show_navbar_depth': 1, 'home_page_in_toc': True}
smartquotes = False  # '' is a value here.
html_copy_source = False
html_show_copyright = False
html_show_sourcelink = False
