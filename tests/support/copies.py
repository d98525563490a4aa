"""A process that forks, and its copy, to compare what each of them has."""

import json
import subprocess
import sys

#: A warm process; each act is played in a fork of it, so that nothing is left of one for the next.
SERVER = """
import json, os, signal, sys, tempfile, time, traceback
from ipy_autorestart.kernel import trust
from ipy_autorestart.kernel.trust import Known, Trust

trust.WAITS_MAX = 2.0  # on a busy machine others have their turns

def copied(value, trust, names):
    told, tell = os.pipe()
    if (pid := os.fork()) == 0:
        try:
            said = {"repair": trust.repair(), "value": eval(value, names) if value else None}
        except BaseException:
            said = {"repair": ["failed"], "value": traceback.format_exc()}
        os.write(tell, json.dumps(said, default=str).encode())
        os._exit(0)
    os.close(tell)
    survivors = trust.survivors()
    said = json.loads(os.read(told, 1 << 16))
    os.close(told)
    os.waitpid(pid, 0)
    return {"survivors": survivors, "copy": said}

def play(act):
    trust = Trust()
    names = {"trust": trust}
    exec(act["before"], names)
    baseline = trust.baseline()
    exec(act["code"], names)
    known = Known(**{name: frozenset(eval(code, names)) for name, code in act["known"].items()})
    deadline = time.monotonic() + act["patience"]
    while (doubts := trust.doubts(known, baseline)) and time.monotonic() < deadline:
        pass
    answer = {"doubts": doubts}
    if not answer["doubts"]:
        answer |= copied(act["value"], trust, names)
    answer["later"] = eval(act["later"], names)
    answer["again"] = trust.doubts(known, baseline)
    return answer

for line in sys.stdin:
    if (pid := os.fork()) == 0:
        os.setsid()
        os.chdir(tempfile.mkdtemp(dir="."))
        try:
            answer = play(json.loads(line))
        except BaseException:
            answer = {"failed": traceback.format_exc()}
        print(json.dumps(answer, default=str), flush=True)
        os._exit(0)
    os.waitpid(pid, 0)
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    print("over", flush=True)
"""


class Copies:
    """That process."""

    def __init__(self, folder):
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder
        )
        assert self.process.stdin
        assert self.process.stdout
        self._asks, self._answers = self.process.stdin, self.process.stdout

    def play(self, code, *, before="", value="", later="globals().get('end', int)()", patience=0, **known):
        """Run some code and look; if there are no doubts make a copy, which evaluates ``value``.

        At last the process evaluates ``later``, by default what ``end`` gives if the code has made such a function.
        What is there ``before`` is of the baseline; what is ``known`` is given as expressions. With ``patience`` it
        looks again for so many seconds: on a busy machine what has just done its work takes a while to be at rest.
        """
        act = {"before": before, "code": code, "value": value, "later": later, "patience": patience, "known": known}
        self._asks.write(json.dumps(act) + "\n")
        self._asks.flush()
        answer = json.loads(self._answers.readline())
        assert self._answers.readline() == "over\n"
        assert "failed" not in answer, answer["failed"]
        return answer

    def close(self):
        self._asks.close()
        self.process.wait()
        self._answers.close()
