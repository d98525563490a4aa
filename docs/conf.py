"""What Sphinx is told: pages in Markdown (MyST), the API from its docstrings, notebooks as they were played."""

import sys

import ipy_autorestart

# Where a check of addresses in notebooks would find its grammar, which takes longer to import than a page to build.
sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]

project = "ipy_autorestart"
copyright = "ipy_autorestart contributors"  # noqa: A001  # as Sphinx has it
version = release = ipy_autorestart.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["figures"]  # they are parts of a page

html_theme = "furo"
html_title = f"{project} {version}"
html_copy_source = False
html_show_sphinx = False
html_static_path = ["static"]
html_css_files = ["site.css"]
# Of the code, for light and dark pages.
pygments_style, pygments_dark_style = "friendly", "monokai"

# What a notebook shows is stored with it: `make notebooks` plays them.
nb_execution_mode = "off"
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
# Links to files that are not pages.
suppress_warnings = ["mystnb.unknown_mime_type"]

# In docstrings, `a name` is a link to it. Types of others lead nowhere, as no other site can be asked.
default_role = "py:obj"
nitpicky = True
nitpick_ignore_regex = [("py:(?!obj).*", ".*"), ("std:.*", ".*")]
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
napoleon_google_docstring = False
