"""Worker processes end with the process that they work for."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

PARENT = """
import time
from n2n_gym.system.pool import Pool

if __name__ == "__main__":
    with Pool(1) as pool:
        list(pool.map(abs, [1]))
        print(*pool.processes, flush=True)
        time.sleep(60)
"""


def test_an_idle_worker_ends_with_its_parent(tmp_path):
    program = tmp_path / "parent.py"
    program.write_text(PARENT)
    with subprocess.Popen([sys.executable, str(program)], stdout=subprocess.PIPE, text=True) as parent:
        worker = int(parent.stdout.readline())
        assert runs(worker)
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        deadline = time.monotonic() + 30
        while runs(worker) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not runs(worker)


def runs(process):
    """Whether there is a process of that number that has not ended."""
    try:
        os.kill(process, 0)
    except OSError:
        return False
    facts = Path(f"/proc/{process}/stat")  # where there is none, who has ended has no number any more
    return not facts.exists() or facts.read_text().rpartition(")")[2].split()[0] != "Z"
