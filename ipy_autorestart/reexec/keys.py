"""The keys of a Dask client's tasks name the version that the workers have, in a process that restarts itself."""

from __future__ import annotations

import importlib.util
import logging
import sys

from ipy_autorestart.pristine import os
from ipy_autorestart.protocol.keyed import Keyed
from ipy_autorestart.reexec.exec import logged

#: They tell of each preload, on standard error.
_LOGGERS = [logging.getLogger(f"distributed.{name}") for name in ("preloading", "utils")]


def _is_of_others(record: logging.LogRecord) -> bool:
    return "_ipy_autorestart_salt" not in record.getMessage()


def name_versions(keyed: Keyed) -> None:
    """Have the clients of this process name them, whether there are some or Dask is imported later; in any thread."""
    os.environ.update(keyed.added_to(os.environ))
    for logger in _LOGGERS:
        logger.addFilter(_is_of_others)
    if "dask" not in sys.modules:  # then it reads the environment
        return
    with logged("the keys of Dask's tasks"):
        importlib.import_module("dask.base")  # which another thread may be about to do
        spec = importlib.util.spec_from_file_location("_ipy_autorestart_salt", keyed.salt)
        assert spec is not None
        assert spec.loader is not None
        salt = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(salt)
        salt.dask_setup(None)


def name_no_versions(keyed: Keyed) -> None:
    """Undo it: what is made from here on has Dask's own keys."""
    for logger in _LOGGERS:
        logger.removeFilter(_is_of_others)
    for name, value in keyed.taken_from(os.environ).items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
