"""Metadata that a build adds: the project's links, and a README whose links work outside of the checkout.

The project's address stands once, in ``pyproject.toml``; the README's links are relative, for a checkout.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

#: A link or picture of the README, by its path in the checkout.
RELATIVE = re.compile(r"(!?)(\[[^\]]*\])\((?!https?:|#)([^)]+)\)")


class ProjectLinks(MetadataHookInterface):  # type: ignore[misc]  # its package has no types
    """Makes the fields ``urls`` and ``readme``."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add the fields to the metadata."""
        repository = self.config["repository"].rstrip("/")
        version = f"v{metadata['version']}"
        metadata["urls"] = {
            "Repository": repository,
            "Documentation": f"{repository}/blob/{version}/docs/index.md",
            "Changelog": f"{repository}/blob/{version}/CHANGELOG.md",
            "Issues": f"{repository}/issues",
        }
        text = Path(self.root, "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {"content-type": "text/markdown", "text": absolute(text, repository, version)}


def absolute(text: str, repository: str, version: str) -> str:
    """Return a README with all of its relative links and pictures at an address, as they are in a version."""

    def replaced(found: re.Match[str]) -> str:
        sign, words, path = found.groups()
        return f"{sign}{words}({repository}/{'raw' if sign else 'blob'}/{version}/{path})"

    return RELATIVE.sub(replaced, text)
