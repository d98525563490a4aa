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
    with pytest.raises(
        BadInput, match=r"--cluster: x is not a client of a cluster \(it is of type int\); name a client"
    ):
        where_of("x", 3)
    with pytest.raises(BadInput, match="client is not connected"):
        where_of("client", client(monkeypatch))
    local = type("LocalCluster", (), {})()
    with pytest.raises(BadInput, match="ends and starts again with this process; leave"):
        where_of("client", client(monkeypatch, cluster=local))


def engines(**attributes):
    return type("Client", (), {"__module__": "ipyparallel.client.client"} | attributes)()


def test_a_client_of_ipyparallel_has_read_the_file_with_its_key(tmp_path):
    for number in (1, 2):
        (tmp_path / f"ipcontroller-{number}-client.json").write_text(f'{{"key": "key {number}"}}')
    (tmp_path / "ipcontroller-client.json").write_text("being written")
    folder = types.SimpleNamespace(security_dir=str(tmp_path))
    known = engines(cluster=None, _profile_dir=folder, session=types.SimpleNamespace(key=b"key 2"))
    assert where_of("rc", known) == str(tmp_path / "ipcontroller-2-client.json")
    with pytest.raises(BadInput, match=r"--cluster: can.t tell which connection file rc has read; name the file"):
        where_of("rc", engines(cluster=None, _profile_dir=folder, session=types.SimpleNamespace(key=b"other")))


def test_a_cluster_of_ipyparallel_has_a_file_unless_it_ends_with_the_process():
    stays = types.SimpleNamespace(cluster_file="cluster-1.json", shutdown_atexit=False)
    assert where_of("rc", engines(cluster=stays)) == "cluster-1.json"
    assert where_of("cluster", engines(cluster_file="cluster-1.json", shutdown_atexit=False)) == "cluster-1.json"
    with pytest.raises(BadInput, match="ends and starts again with this process; leave"):
        where_of("cluster", engines(cluster_file="cluster-1.json", shutdown_atexit=True))
