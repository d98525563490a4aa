"""How clients of Dask learn which version the workers have, so that the keys of their tasks name it: by environment."""

from __future__ import annotations

import ast
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass

from ipy_autorestart.pristine import os

#: Names the files in which helpers say what the workers have; `cluster._ipy_autorestart_salt` reads them.
VARIABLE = "IPY_AUTORESTART_CLUSTER"

#: The variable that configures what each client of Dask runs at its start.
PRELOAD = "DASK_DISTRIBUTED__CLIENT__PRELOAD"


@dataclass(frozen=True, slots=True)
class Keyed:
    """The file in which a helper says what the workers have, and the one that a client runs to read it."""

    told: str
    salt: str

    def added_to(self, environment: Mapping[str, str]) -> dict[str, str]:
        """Return the variables with which a process names the version of this watch, too."""
        files, preload = _files(environment), _preload(environment)
        return {
            VARIABLE: os.pathsep.join([*(one for one in files if one != self.told), self.told]),
            PRELOAD: repr([*(one for one in preload if one != self.salt), self.salt]),
        }

    def taken_from(self, environment: Mapping[str, str]) -> dict[str, str | None]:
        """Return the variables without those that `added_to` has added, None for one that is to go."""
        files = [one for one in _files(environment) if one != self.told]
        preload = [one for one in _preload(environment) if files or one != self.salt]
        return {VARIABLE: os.pathsep.join(files) or None, PRELOAD: repr(preload) if preload else None}


def _files(environment: Mapping[str, str]) -> list[str]:
    return list(filter(None, environment.get(VARIABLE, "").split(os.pathsep)))


def _preload(environment: Mapping[str, str]) -> list[str]:
    text = environment.get(PRELOAD, "[]")
    with contextlib.suppress(ValueError, SyntaxError):  # as Dask reads it
        value = ast.literal_eval(text)
        return [value] if isinstance(value, str) else list(value) if isinstance(value, list | tuple) else []
    return [text]
