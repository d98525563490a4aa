"""`%watch_restart src/ main.py` in a real kernel."""

import io
import os
import re
import signal
import zipfile

import psutil
import pytest
from busy import busy
from processes import has_ended, supervisors, until_warm

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("kernel_of_module"), pytest.mark.xdist_group("script mode")]


def shows(cell, text):
    return lambda: text in cell.text


def test_a_save_runs_the_script_again_in_its_cell(kernel, project):
    cell = kernel.run("%watch_restart src/ main.py")
    kernel.wait(shows(cell, "value 1"))
    other = kernel.run("print('another cell')")
    project.save("src/a.py", "V = 2\n")
    kernel.wait(shows(cell, "value 2"))
    assert "value 1" not in cell.text
    kernel.wait(shows(cell, "src/a.py changed"))
    assert other.text.strip() == "another cell"


def test_the_script_is_watched_although_only_src_is_named(kernel, project):
    cell = kernel.run("%watch_restart src/ main.py")
    kernel.wait(shows(cell, "value 1"))
    project.script("print('new main')\n")
    kernel.wait(shows(cell, "new main"))


def test_a_file_beside_the_script_that_is_not_watched_is_told_once(kernel, project):
    project.save("data.csv", "1\n")
    project.save("helper.py", "")
    project.save("cache.json", "{}")
    project.script(
        "import sys; sys.path.insert(0, 'src')\nimport a, helper\nprint('read', open('data.csv').read(), a.V)\n"
        "open('cache.json').read(); open('cache.json', 'w').write('{}')\n"
    )
    cell = kernel.run("%watch_restart src/ main.py")
    kernel.wait(shows(cell, "read 1\n 1"))
    names = r"(data.csv helper.py|helper.py data.csv)"
    told = rf"\S+ and 1 more is read, but not watched: %watch_restart src/ {names} main.py\n"
    kernel.wait(lambda: re.search(told, cell.text))
    project.save("src/a.py", "V = 2\n")
    kernel.wait(lambda: "read 1\n 2" in cell.text and "restarted" in cell.text)
    assert "not watched" not in cell.text


def test_a_script_without_a_path_has_its_folder_watched(kernel, project):
    cell = kernel.run("%watch_restart main.py")
    kernel.wait(shows(cell, "value 1"))
    project.save("src/a.py", "V = 2\n")
    kernel.wait(shows(cell, "value 2"))


def test_the_magic_returns_at_once(kernel, project):
    project.script("import time\ntime.sleep(60)\n")
    kernel.run("import time; begin = time.perf_counter()")
    kernel.run("%watch_restart src/ main.py")
    cell = kernel.run("print(time.perf_counter() - begin < 30)")
    assert cell.streams() == "True\n"


def test_a_running_script_is_stopped_before_the_next_runs(kernel, project):
    project.script(
        "import os, time, sys\nsys.path.insert(0, 'src')\nimport a\nprint('pid', os.getpid(), a.V)\ntime.sleep(60)\n"
    )
    cell = kernel.run("%watch_restart src/ main.py")
    kernel.wait(lambda: "\n" in cell.streams())
    first = int(cell.streams().split()[1])
    project.save("src/a.py", "V = 2\n")
    kernel.wait(lambda: cell.streams().endswith(" 2\n"))
    assert not psutil.pid_exists(first)


def test_arguments_reach_the_script(kernel, project):
    project.script("import sys\nprint(sys.argv)\n")
    cell = kernel.run("%watch_restart main.py -- --fast 'two words' ünï;")
    kernel.wait(shows(cell, "['main.py', '--fast', 'two words', 'ünï;']"))


def test_variables_in_the_line_are_expanded(kernel, project):
    cell = kernel.run("folder = 'src'\n%watch_restart {folder}/ {'main' + '.py'}")
    kernel.wait(shows(cell, "value 1"))
    project.script("import sys\nprint(sys.argv)\n")
    call = "get_ipython().run_line_magic('watch_restart', 'src/ $name -- $name')"
    cell = kernel.run(f"def watch(name):\n    {call}\nwatch('main.py')")
    kernel.wait(shows(cell, "['main.py', 'main.py']"))


def test_a_module_runs_with_m(kernel, project):
    project.save("app/__init__.py", "")
    project.save("app/__main__.py", "import sys\nprint(__spec__.name, sys.argv[1:])\n")
    cell = kernel.run("%watch_restart app -m app -- x")
    kernel.wait(shows(cell, "app.__main__ ['x']"))
    assert "-m app" in cell.text
    project.save("app/__main__.py", "print('again')\n")
    kernel.wait(shows(cell, "again"))


def test_whatever_python_runs_is_run(kernel, project):
    project.save("tool", "#!/usr/bin/env python3\nprint('tool 1')\n")
    project.save("app/__main__.py", "import b\nprint('app', b.V)\n")
    project.save("app/b.py", "V = 1\n")
    (project / "packed.pyz").write_bytes(archive("print('packed 1')"))
    cells = [kernel.run(f"%watch_restart src/ {name}") for name in ("./tool", "app", "packed.pyz")]
    for cell, said in zip(cells, ("tool", "app", "packed"), strict=True):
        kernel.wait(shows(cell, f"{said} 1"))
    project.save("tool", "#!/usr/bin/env python3\nprint('tool 2'\n")
    kernel.wait(shows(cells[0], "syntax error at tool:2"))
    project.save("tool", "#!/usr/bin/env python3\nprint('tool 2')\n")
    project.save("app/__main__.py", "print('app 2')\n")
    (project / "packed.pyz").write_bytes(archive("print('packed 2')"))
    for cell, said in zip(cells, ("tool", "app", "packed"), strict=True):
        kernel.wait(shows(cell, f"{said} 2"))


def archive(code):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr("__main__.py", code)
    return packed.getvalue()


@pytest.mark.own_kernel
def test_paths_may_have_spaces_and_a_tilde(kernel, project):
    project.save("my code/b.py", "")
    kernel.run(f"import os; os.environ['HOME'] = {str(project)!r}")
    cell = kernel.run("%watch_restart --all 'my code' ~/main.py")
    kernel.wait(shows(cell, "value 1"))
    project.save("my code/b.py", "x = 1\n")
    kernel.wait(shows(cell, "my code/b.py changed"))


def test_several_scripts_live_side_by_side(kernel, project):
    project.save("other.py", "print('other')\n")
    one = kernel.run("%watch_restart src/ main.py")
    two = kernel.run("%watch_restart --all src/ other.py")
    kernel.wait(shows(one, "value 1"))
    kernel.wait(shows(two, "other\n"))
    project.save("src/a.py", "V = 2\n")
    kernel.wait(shows(one, "value 2"))
    kernel.wait(shows(two, "run 2"))
    status = kernel.run("%watch_status").text
    assert "main.py" in status
    assert "other.py" in status
    kernel.run("%unwatch other.py")
    status = kernel.run("%watch_status").text
    assert "main.py" in status
    assert "other.py" not in status


def test_a_script_with_other_arguments_is_another_target(kernel, project):
    project.save("show.py", "import sys\nprint('shows', sys.argv[1:])\n")
    for number in ("1", "2"):
        cell = kernel.run(f"%watch_restart src/ show.py -- --n {number}")
        kernel.wait(shows(cell, f"shows ['--n', '{number}']"))
    status = kernel.run("%watch_status").text
    assert "show.py --n 1" in status
    assert "show.py --n 2" in status
    kernel.run("%unwatch show.py --n 2")
    status = kernel.run("%watch_status").text
    assert "show.py --n 1" in status
    assert "show.py --n 2" not in status
    kernel.run("%unwatch show.py")
    assert "nothing is watched" in kernel.run("%watch_status").text


def test_the_same_cell_run_again_replaces_its_target(kernel, project):
    project.save("other.py", "print('other')\n")
    kernel.run("%watch_restart src/ main.py", cell_id="c1")
    cell = kernel.run("%watch_restart src/ other.py", cell_id="c1")
    kernel.wait(shows(cell, "other"))
    status = kernel.run("%watch_status").text
    assert "main.py" not in status
    assert status.partition("\n\n")[0].count("other.py") == 1


def test_two_targets_of_one_cell_are_both_kept(kernel, project):
    project.save("other.py", "print('other')\n")
    kernel.run("%watch_restart src/ main.py\n%watch_restart src/ other.py", cell_id="c1")
    status = kernel.run("%watch_status").text
    assert "main.py" in status
    assert "other.py" in status


def test_unwatch_ends_the_run_and_its_children(kernel, project):
    project.script(
        "import subprocess, time\np = subprocess.Popen(['sleep', '60'])\nprint('pid', p.pid)\ntime.sleep(60)\n"
    )
    cell = kernel.run("%watch_restart src/ main.py")
    kernel.wait(lambda: "\n" in cell.streams())
    grandchild = psutil.Process(int(cell.streams().split()[1]))
    kernel.run("%unwatch")
    assert has_ended(grandchild)
    kernel.wait(shows(cell, "ended"))
    assert kernel.run("%watch_status").text.startswith("nothing is watched")


def test_a_crash_is_shown_and_waits_for_the_next_change(kernel, project):
    project.save("src/a.py", "1 / 0\n")
    cell = kernel.run("%watch_restart src/ main.py")
    kernel.wait(shows(cell, "ZeroDivisionError"))
    kernel.wait(shows(cell, "crashed after"))
    project.save("src/a.py", "V = 3\n")
    kernel.wait(shows(cell, "value 3"))


def test_a_hangup_of_the_supervisor_means_a_restart(kernel, project):
    cell = kernel.run("%watch_restart src/ main.py")
    kernel.wait(shows(cell, "finished"))
    (supervisor,) = supervisors(kernel.pid)
    supervisor.send_signal(signal.SIGHUP)
    kernel.wait(shows(cell, "SIGHUP received"))
    kernel.wait(shows(cell, "run 2"))


def test_a_busy_kernel_does_not_delay_a_restart(kernel, project):
    cell = kernel.run("%watch_restart src/ main.py")
    kernel.wait(shows(cell, "finished"))
    with busy(kernel, project) as call:
        project.script("open('ran', 'w').close()\n")
        kernel.wait(lambda: os.path.exists("ran"))
        assert call.reply is None


def test_the_interrupt_button_does_not_hit_the_script(kernel, project):
    project.script("import time\nprint('up', flush=True)\ntime.sleep(60)\n")
    cell = kernel.run("%watch_restart src/ main.py")
    kernel.wait(shows(cell, "up"))
    sleeping = kernel.send("import time; print('sleeps'); time.sleep(60)")
    kernel.wait(shows(sleeping, "sleeps"))
    kernel.manager.interrupt_kernel()
    kernel.run("1")
    assert "running" in cell.text


@pytest.mark.own_kernel
def test_nothing_outlives_a_killed_kernel(kernel, project):
    project.script(
        "import signal, subprocess, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "subprocess.Popen(['sleep', '60'])\nprint('up')\ntime.sleep(60)\n"
    )
    cell = kernel.run("%watch_restart src/ main.py")
    kernel.wait(shows(cell, "up"))
    os.kill(kernel.pid, signal.SIGKILL)
    # The fixture that every test has looks for what is left.


def test_the_status_tells_what_is_warm_and_what_is_imported_ahead(kernel, project):
    project.script("import json\nprint('one')\n")
    cell = kernel.run("%watch_restart main.py")
    kernel.wait(shows(cell, "one"))
    kernel.wait(lambda: "imported ahead" in kernel.run("%watch_status").text)
    until_warm(kernel.pid)
    project.script("import json\nprint('two')\n")
    kernel.wait(shows(cell, "two"))
    kernel.wait(shows(cell, "restarted warm"))
    status = kernel.run("%watch_status").text
    assert "warm" in status.splitlines()[1]
    assert "main.py: " in status
    cold = kernel.run("%watch_restart main.py --cold")
    kernel.wait(shows(cold, "two"))
    assert "cold" in kernel.run("%watch_status").text


@pytest.mark.own_kernel
def test_warm_starts_can_be_switched_off_for_all(kernel, project):
    kernel.run("%config WatchRestart.warm = False")
    cell = kernel.run("%watch_restart main.py")
    kernel.wait(shows(cell, "value 1"))
    status = kernel.run("%watch_status").text
    assert "cold" in status
    assert "imported ahead" not in status
