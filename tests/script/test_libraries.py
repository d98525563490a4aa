"""Real libraries, imported ahead, compute after the fork what they compute without it.

They are installed by ``make test``; one that is missing (on a platform for which it isn't built) is skipped by name.
"""

import importlib.util
import os

import pytest
from starting import adopted, finish, forking, program

from ipy_autorestart.script.run import start_cold

pytestmark = pytest.mark.e2e

USES = {
    "numpy": """
import numpy as np
a = np.arange(250_000.0).reshape(500, 500)
print((a @ a.T).sum())
print(np.linalg.eigvalsh(a[:50, :50] + a[:50, :50].T)[-1].round(3))
""",
    "scipy": """
from scipy import integrate, optimize
print(round(integrate.quad(lambda x: x * x, 0, 3)[0], 6), optimize.brentq(lambda x: x * x - 2, 0, 2).__round__(6))
""",
    "pandas": """
import pandas as pd
frame = pd.DataFrame({'k': list('aabb') * 1000, 'v': range(4000)})
print(frame.groupby('k').v.mean().to_dict(), frame.v.rolling(3).sum().sum())
""",
    "sklearn": """
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
x, y = make_classification(300, random_state=0)
print(RandomForestClassifier(20, random_state=0, n_jobs=2).fit(x, y).score(x, y))
""",
    "matplotlib": """
import matplotlib
matplotlib.use('agg')
import matplotlib.pyplot as plt
plt.plot([1, 2])
plt.savefig('p.png')
import os
print(os.path.getsize('p.png') > 1000)
""",
    "polars": """
import polars as pl
frame = pl.DataFrame({'k': [1, 1, 2], 'v': [1, 2, 3]}).lazy()
print(frame.group_by('k').agg(pl.col('v').sum()).collect().sort('k').rows())
""",
    "pyarrow": """
import pyarrow as pa, pyarrow.parquet as pq, pyarrow.compute as pc
pq.write_table(pa.table({'a': range(10000)}), 't.parquet')
print(pc.sum(pq.read_table('t.parquet')['a']))
""",
    "grpc": """
import grpc
from concurrent import futures
server = grpc.server(futures.ThreadPoolExecutor(2))
handler = grpc.unary_unary_rpc_method_handler(lambda request, context: request[::-1])
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler('s', {'m': handler}),))
port = server.add_insecure_port('127.0.0.1:0')
server.start()
with grpc.insecure_channel(f'127.0.0.1:{port}') as channel:
    print(channel.unary_unary('/s/m')(b'abc', timeout=20))
server.stop(0).wait()
""",
    "requests": """
import http.server, requests, threading
server = http.server.HTTPServer(('127.0.0.1', 0), http.server.SimpleHTTPRequestHandler)
threading.Thread(target=server.serve_forever, daemon=True).start()
session = requests.Session()
session.trust_env = False
print(session.get(f'http://127.0.0.1:{server.server_port}/main.py').status_code)
""",
    "sqlalchemy": """
import sqlalchemy as sa
with sa.create_engine('sqlite://').connect() as c: print(c.execute(sa.text('select 6 * 7')).scalar())
""",
    "torch": """
import torch
torch.set_num_threads(2)
x = torch.ones(300, 300, requires_grad=True)
(x @ x).sum().backward()
print(x.grad.sum().item(), torch.nn.Linear(3, 2)(torch.ones(1, 3)).shape)
""",
    "sqlite3": """
import sqlite3
print(sqlite3.connect(':memory:').execute('select 6 * 7').fetchone())
""",
    "ssl": """
import ssl
print(len(ssl.RAND_bytes(8)), ssl.create_default_context().check_hostname)
""",
}
RANDOM = {
    "numpy": """
import numpy as np
print(np.random.rand(), np.random.default_rng().random())
""",
    "torch": """
import torch
print(torch.rand(1), torch.randn(1))
""",
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for variable in ("PYTEST_CURRENT_TEST", "COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START", "PYTHONPATH"):
        monkeypatch.delenv(variable, raising=False)
    with adopted():
        yield tmp_path


def learnt(folder, code):
    """Run a script cold; return that run and what it has imported."""
    (folder / "main.py").write_text(code + "\n")
    run = start_cold(program("main.py", roots=[f"{folder}/"]))
    reports = run.reports
    return finish(run), tuple(reports.imported)


@pytest.mark.parametrize("library", USES)
def test_a_library_computes_the_same_in_a_run_that_was_forked(folder, library):
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    plain, paths = learnt(folder, USES[library])
    assert (plain.status, plain.out != "") == (0, True), plain.err
    with forking(program("main.py", roots=[f"{folder}/"]), paths) as start:
        for _ in range(2):
            run = finish(start())
            assert (run.out, run.status) == (plain.out, plain.status), run.err


@pytest.mark.parametrize("library", RANDOM)
def test_each_run_draws_its_own_numbers(folder, library):
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    _, paths = learnt(folder, RANDOM[library])
    with forking(program("main.py", roots=[f"{folder}/"]), paths) as start:
        drawn = {finish(start()).out for _ in range(3)}
    assert len(drawn) == 3
    assert os.path.exists("main.py")
