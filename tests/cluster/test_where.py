"""The address of a cluster, of objects that say they are Dask's."""

import sys
import types

import pytest

from ipy_autorestart.cluster.where import where_of
from ipy_autorestart.protocol.options import BadInput


def client(monkeypatch, **attributes):
    monkeypatch.setitem(sys.modules, "distributed", types.ModuleType("distributed"))
    kind = type("Client", (), {"__module__": "distributed.client"})
    value = kind()
    vars(value).update(attributes)
    return value


def test_a_client_has_the_address_of_its_scheduler(monkeypatch):
    scheduler = types.SimpleNamespace(address="tcp://there:8786")
    assert where_of("client", client(monkeypatch, scheduler=scheduler)) == "tcp://there:8786"


def test_anything_else_is_refused_by_its_name(monkeypatch):
    with pytest.raises(BadInput, match=r"--cluster: x is no client of a cluster, but of the class int; name one"):
        where_of("x", 3)
    with pytest.raises(BadInput, match="client is not connected"):
        where_of("client", client(monkeypatch))
    local = type("LocalCluster", (), {})()
    with pytest.raises(BadInput, match="begins anew with it: leave this out"):
        where_of("client", client(monkeypatch, cluster=local))
