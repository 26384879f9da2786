"""How Sphinx builds the documentation: ``make docs``."""

from importlib import import_module

from docutils import nodes
from latex2mathml.converter import convert
from sphinx_gallery.sorting import ExplicitOrder

import sk_center

project = "sk_center"
author = "the sk_center developers"
copyright = author
version = release = sk_center.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_parser",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "_templates", "**/GALLERY_HEADER.rst"]
nitpicky = True
nitpick_ignore_regex = [
    # Names of other packages: a build needs no network, so their pages are not known.
    ("py:.*", r"(?!sk_center).*"),
]
suppress_warnings = ["config.cache"]  # the order of the gallery is an object

# Markdown
myst_enable_extensions = ["colon_fence", "dollarmath", "deflist"]
myst_heading_anchors = 3

# Reference: a page for each public name, types as the docstrings give them.


def is_shown(module, name, item):
    """Whether the page of a class shows a method or attribute: its own, or of a mixin."""
    cls = getattr(import_module(module), name)
    for owner in cls.__mro__:
        if item in vars(owner) or item in vars(owner).get("__annotations__", {}):
            break
    if owner is cls or not owner.__module__.startswith("sk_center"):
        return owner is cls
    is_method = callable(getattr(cls, item, None))
    return item.endswith("_") or (is_method and owner.__name__.endswith("Mixin"))


autosummary_generate = True
autosummary_context = {"is_shown": is_shown}
autodoc_typehints = "none"
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

# Gallery
ORDER = [
    "plot_open_set_digits.py",
    "plot_center_loss.py",
    "plot_tune_without_outsiders.py",
    "plot_random_forest.py",
    "plot_guarantees.py",
    "plot_intents.py",
    "plot_explain_rejection.py",
    "plot_new_classes.py",
    "plot_own_module.py",
    "plot_mixed_columns.py",
    "plot_negative_samples.py",
    "plot_save_and_serve.py",
    "plot_displays.py",
    "*",
]
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "within_subsection_order": ExplicitOrder(ORDER),
    "backreferences_dir": "auto_examples/backreferences",
    "doc_module": ("sk_center",),
    "reference_url": {"sk_center": None},
    "abort_on_example_error": True,
    "show_signature": False,
    "write_computation_times": False,
    "remove_config_comments": True,
}

# Pages
html_theme = "pydata_sphinx_theme"
html_title = "sk_center"
html_logo = html_favicon = "_static/logo.svg"
html_static_path = ["_static"]
html_css_files = ["sk_center.css"]
html_show_sourcelink = False
html_copy_source = False
html_context = {"default_mode": "auto"}  # light or dark, as the reader's system is
html_math_renderer = "mathml"
html_sidebars = {"benchmarks/**": ["sidebar-nav-bs"], "changelog": []}
html_theme_options = {
    "logo": {"text": "sk_center"},
    "header_links_before_dropdown": 5,
    "show_prev_next": True,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc", "sg_download_links"],
    "footer_start": ["copyright"],
    "footer_end": ["sphinx-version"],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}


def write_inline(translator, node):
    """Write a formula within a line as MathML, which needs no script and no network."""
    translator.body.append(convert(node.astext()))
    raise nodes.SkipNode


def write_block(translator, node):
    """Write a formula on lines of its own."""
    formula = convert(node.astext(), display="block")
    translator.body.append(f'<div class="formula">{formula}</div>\n')
    raise nodes.SkipNode


def setup(app):
    """Tell Sphinx how formulas are written."""
    app.add_html_math_renderer(
        "mathml",
        inline_renderers=(write_inline, None),
        block_renderers=(write_block, None),
    )
