"""`%watch_restart src/` in a real kernel: it restarts itself through exec."""

import os
import signal

import psutil
import pytest
from compiling import library, replaced, unlinked_and_copied
from processes import supervisors
from waiting import eventually, pass_time

pytestmark = pytest.mark.e2e


def restarts(cell, number, path="src/a.py"):
    return lambda: f" · {path} changed" in cell.text and f"· {number} restart" in cell.text


@pytest.fixture
def watching(kernel, project):
    """The cell that watches, in a kernel that is up to date with src/."""
    cell = kernel.run("%watch_restart src/")
    kernel.wait(lambda: "running" in cell.text)
    return cell


def test_a_save_just_behind_the_magic_is_not_lost(kernel, project):
    cell = kernel.run("%watch_restart src/\nopen('src/a.py', 'w').write('V = 2\\n')")
    kernel.wait(restarts(cell, 1))


def test_a_save_just_before_the_magic_is_no_change(kernel, project):
    cell = kernel.run("open('src/a.py', 'w').write('V = 2\\n')\n%watch_restart src/")
    kernel.wait(lambda: "running" in cell.text)
    kernel.run("import time; time.sleep(1.5)")
    assert "changed" not in cell.text


def test_thousands_of_files_may_be_named(kernel, project):
    sources, others = ([f"src/n{number}.{kind}" for number in range(1500)] for kind in ("py", "txt"))
    for name in sources + others:
        project.save(name, "V = 1\n")
    project.script("import sys\nsys.path.insert(0, 'src')\nimport n1499 as m\nprint('value', m.V)\n")
    script = kernel.run(f"%watch_restart {' '.join(sources)} main.py")
    kernel.wait(lambda: "value 1" in script.text)
    cell = kernel.run(f"%watch_restart {' '.join(others)}")
    kernel.wait(lambda: "running" in cell.text)
    project.save(others[-1], "2\n")
    kernel.wait(restarts(cell, 1, others[-1]))
    project.save(sources[-1], "V = 2\n")
    kernel.wait(lambda: "value 2" in script.text)


def test_it_restarts_in_place_again_and_again(kernel, project, watching):
    pid = kernel.pid
    for value in (2, 3, 4):
        kernel.run("x = 1")
        project.save("src/a.py", f"V = {value}\n")
        kernel.wait(restarts(watching, value - 1))
        use = "import os, sys; sys.path.insert(0, 'src'); import a; print(a.V, os.getpid(), 'x' in globals())"
        assert kernel.run(use).streams() == f"{value} {pid} False\n"
    assert kernel.manager.is_alive()
    assert len(supervisors(kernel.pid)) == 1


def test_it_waits_for_the_running_cell_and_those_behind_it(kernel, project, watching):
    held = "while not os.path.exists('go'): time.sleep(0.01)"
    first = kernel.send(f"import os, time; print('begun')\n{held}\nx = 1")
    kernel.wait(lambda: "begun" in first.text)
    rest = [kernel.send("time.sleep(0.02); print(x)") for _ in range(10)]
    project.save("src/a.py", "V = 2\n")
    kernel.wait(lambda: "waiting for cell 3" in watching.text)
    (project / "go").touch()
    kernel.wait(lambda: all(cell.done for cell in (first, *rest)))
    assert [cell.streams() for cell in rest] == ["1\n"] * 10
    kernel.wait(restarts(watching, 1))


def test_compiled_code_counts_if_the_kernel_has_loaded_it(kernel, project, watching):
    (project / "src/ext.so").write_bytes(library("0"))
    kernel.wait(lambda: "src/ext.so changed, not loaded before: not restarted" in watching.text)
    assert kernel.run("import sys; sys.path.insert(0, 'src'); import ext; print(ext.V)").streams() == "0\n"
    for number, write in enumerate((unlinked_and_copied, replaced), 1):
        write(project / "src/ext.so", str(number))
        kernel.wait(restarts(watching, number, "src/ext.so"))
        cell = kernel.run("import sys; sys.path.insert(0, 'src'); import ext; print(ext.V)")
        assert cell.streams() == f"{number}\n"


def _is_new_image(pid):
    return any("bootstrap.py" in word for word in psutil.Process(pid).cmdline())


def test_environment_folder_and_signals_are_those_of_the_start(kernel, project, watching):
    kernel.run(
        "import os, signal\nos.environ['X'] = '1'\nos.mkdir('elsewhere')\n%cd -q elsewhere\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nsignal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])\n"
        "signal.setitimer(signal.ITIMER_REAL, 600)"
    )
    project.save("src/a.py", "V = 2\n")
    kernel.wait(restarts(watching, 1))
    cell = kernel.run(
        "import os, signal\nprint(os.environ.get('X'), os.getcwd(), signal.getsignal(signal.SIGTERM) is signal.SIG_DFL,"
        " signal.pthread_sigmask(signal.SIG_BLOCK, []), signal.getitimer(signal.ITIMER_REAL)[0],"
        " [name for name in os.environ if name.startswith('IPY_AUTORESTART_S')])"
    )
    assert cell.streams() == f"None {project} True set() 0.0 []\n"


def test_a_kernel_that_cannot_start_again_goes_on_and_says_why(kernel, project):
    kernel.run("import sys; sys.executable, real = '/nowhere/python', sys.executable; x = 1")
    kernel.run("%reload_ext ipy_autorestart")
    kernel.run("get_ipython().run_line_magic('unwatch', ''); sys.executable = real")
    cell = kernel.run("%watch_restart src/")
    kernel.wait(lambda: "running" in cell.text)
    project.save("src/a.py", "V = 2\n")
    kernel.wait(lambda: "'/nowhere/python' is gone" in cell.text)
    assert kernel.run("print(x)").streams() == "1\n"


def test_unwatch_gives_back_the_users_own_handler_and_script_mode_leaves_it_alone(kernel, project):
    def is_mine():
        return kernel.run("print(signal.getsignal(signal.SIGHUP) is mine)").streams() == "True\n"

    kernel.run("import signal\ndef mine(*args): ...\nold = signal.signal(signal.SIGHUP, mine)")
    kernel.run("%watch_restart src/ main.py")
    assert is_mine()
    kernel.run("%watch_restart src/")
    assert not is_mine()
    kernel.run("%unwatch kernel")
    assert is_mine()


def test_nohup_is_respected_over_a_restart(kernel, project):
    kernel.run("import signal\nold = signal.signal(signal.SIGHUP, signal.SIG_IGN)")
    cell = kernel.run("%watch_restart src/")
    kernel.wait(lambda: "running" in cell.text)
    project.save("src/a.py", "V = 2\n")
    kernel.wait(restarts(cell, 1))
    kernel.run("%unwatch")
    assert kernel.run("import signal; print(signal.getsignal(signal.SIGHUP) is signal.SIG_IGN)").streams() == "True\n"


def test_there_is_one_kernel_target(kernel, project, watching):
    (project / "lib").mkdir()
    cell = kernel.run("%watch_restart lib")
    assert kernel.run("%watch_status").text.split("\n\n")[0].count("kernel") == 1
    os.kill(kernel.pid, signal.SIGHUP)  # its handler has survived the change of targets
    kernel.wait(lambda: "SIGHUP received" in cell.text and "1 restart" in cell.text)
    assert kernel.run("print('alive')").streams() == "alive\n"


def test_scripts_beside_it_go_on_over_the_restart(kernel, project, watching):
    project.save("lib/b.py", "")
    project.save("other.py", "print('other runs')\n")
    other = kernel.run("%watch_restart --all lib/ other.py")
    kernel.wait(lambda: "other runs" in other.text)
    project.save("src/a.py", "V = 2\n")
    kernel.wait(restarts(watching, 1))
    project.save("lib/b.py", "x = 1\n")
    kernel.wait(lambda: "lib/b.py changed" in other.text and "other runs" in other.text)


def test_front_ends_can_interrupt_restart_and_shut_down_afterwards(kernel, project, watching):
    project.save("src/a.py", "V = 2\n")
    kernel.wait(restarts(watching, 1))
    sleeping = kernel.send("import time; print('sleeps'); time.sleep(60)")
    kernel.wait(lambda: "sleeps" in sleeping.text)
    kernel.manager.interrupt_kernel()
    kernel.wait(lambda: "KeyboardInterrupt" in sleeping.text)
    kernel.manager.restart_kernel()
    kernel.client.wait_for_ready(timeout=60)
    assert kernel.run("print('fresh')").streams() == "fresh\n"


def test_the_api_does_what_the_magic_does(kernel, project):
    kernel.run("from ipy_autorestart import Kernel, Supervisor\nSupervisor(Kernel(), ['src/']).start()")
    kernel.wait(lambda: "running" in kernel.run("%watch_status").text)
    project.save("src/a.py", "V = 2\n")
    kernel.wait(lambda: [m for m in kernel.others if m["content"].get("execution_state") == "idle"])
    kernel.wait(lambda: "src/a.py changed" in kernel.run("%watch_status").text)
    kernel.run("%unwatch")
    assert kernel.run("%watch_status").text.startswith("nothing is watched")


@pytest.mark.timing
def test_a_burst_restarts_the_kernel_once(kernel, project, watching):
    for number in range(10):
        project.save(f"n{number}.py", "x = 1\n")
    for number in range(10):
        (project / f"n{number}.py").replace(project / f"src/n{number}.py")
    kernel.wait(lambda: "1 restart" in watching.text)
    kernel.run("x = 1")
    pass_time(1.5)  # longer than a second restart would take to come
    assert kernel.run("print(x)").streams() == "1\n"


def test_what_changes_no_code_restarts_no_kernel(kernel, project, watching):
    kernel.run("x = 1")
    for text in ("V = 1\n", "# why\nV  =  1\n", "V = (\n", "V = 1\n"):
        project.save("src/a.py", text)
        pass_time(0.3)
    assert kernel.run("print(x)").streams() == "1\n"
    project.save("src/a.py", "V = (\n")
    kernel.wait(lambda: "syntax error at src/a.py:1" in watching.text)


def test_a_cell_that_runs_another_is_not_cut_in_half(kernel, project, watching):
    cell = kernel.send(
        "import asyncio\nget_ipython().run_cell('y = 1')\nprint('begun')\nawait asyncio.sleep(1)\nprint('ended')"
    )
    kernel.wait(lambda: "begun" in cell.text)
    project.save("src/a.py", "V = 2\n")
    kernel.wait(lambda: cell.done)
    assert "ended" in cell.streams()
    kernel.wait(restarts(watching, 1))


def test_what_cannot_be_ended_properly_does_not_stop_the_restart(kernel, project, watching):
    kernel.run("def fail(): raise OSError('database is locked')\nget_ipython().history_manager.end_session = fail")
    project.save("src/a.py", "V = 2\n")
    kernel.wait(restarts(watching, 1))


def test_another_event_loop_in_a_cell_does_not_make_the_kernel_deaf(kernel, project, watching):
    kernel.run(
        "import asyncio, signal\nloop = asyncio.new_event_loop()\nloop.add_signal_handler(signal.SIGUSR1, print)\n"
        "loop.remove_signal_handler(signal.SIGUSR1)\nloop.close()"
    )
    project.save("src/a.py", "V = 2\n")
    kernel.wait(restarts(watching, 1))


def test_a_cell_run_during_the_restart_does_not_make_it_seem_busy(kernel, project, watching):
    project.save("src/a.py", "V = 2\n")
    eventually(lambda: _is_new_image(kernel.pid))
    kernel.send("1")
    kernel.wait(restarts(watching, 1))
    project.save("src/a.py", "V = 3\n")
    kernel.wait(restarts(watching, 2))
