"""A process that restarts itself waits until a cluster has its new code."""

import os
import types

from fakes import FakeSupervisor

from ipy_autorestart.decide.facts import Reason
from ipy_autorestart.protocol.messages import Changed, PushFailed
from ipy_autorestart.protocol.options import Options
from ipy_autorestart.reexec.pushes import Pushes, clients_here

DONE = Changed(os.getpid(), Reason.CHANGE)


def owner(**options):
    owner = FakeSupervisor()
    owner.request = types.SimpleNamespace(options=Options(**options))
    return owner


def test_it_waits_for_each_that_pushes_and_for_nobody_else():
    plain, one, other = owner(), owner(cluster="tcp://a"), owner(cluster="tcp://b")
    assert Pushes([plain]).is_over
    told = []
    pushes = Pushes([plain, one, other], lambda: told.append(True))
    for answering in (plain, one, one):
        pushes.note(answering, DONE)
        assert not pushes.is_over
        assert pushes.refusal == "the cluster did not get the new code in time"
    pushes.note(other, DONE)
    pushes.wait()
    assert (pushes.is_over, pushes.refusal, told) == (True, "", [True])


def test_an_answer_to_the_image_before_is_none():
    one = owner(cluster="tcp://a")
    pushes = Pushes([one])
    pushes.note(one, Changed(1, Reason.CHANGE))
    assert not pushes.is_over


def test_a_push_that_failed_is_the_reason_to_go_on():
    one, other = owner(cluster="tcp://a"), owner(cluster="tcp://b")
    pushes = Pushes([one, other])
    pushes.note(one, PushFailed(3, "2 workers lack it"))
    pushes.note(other, DONE)
    assert (pushes.is_over, pushes.refusal) == (True, "2 workers lack it")


def test_a_process_without_dask_has_no_clients():
    assert clients_here() == ()
