"""Programs that people write, which the walls must not get in the way of."""

import pytest
from tools.jails import in_namespaces, jail, lease

from agentgym import Limits
from agentgym_tools.sandboxes.jail.backend import JailBackend

__all__ = ["jail"]
pytestmark = pytest.mark.asyncio(loop_scope="module")

PROGRAMS = {
    "numpy": "import numpy as np; assert np.linalg.inv(np.eye(50)).sum() == 50",
    "numpy random": "import numpy as np; assert np.random.default_rng(0).random() < 1",
    "subprocess": "import subprocess as s; assert s.check_output(['echo', 'hi']) == b'hi\\n'",
    "shell": "import os; assert os.system('ls /usr > /dev/null') == 0",
    "pipes between programs": "import subprocess as s; assert s.run('seq 5 | tail -1', shell=True,"
    " capture_output=True, text=True).stdout == '5\\n'",
    "python in python": "import subprocess as s, sys; assert s.check_output([sys.executable, '-c',"
    " 'print(1)']) == b'1\\n'",
    "multiprocessing pool": """
import multiprocessing as m
def f(x): return x * x
with m.Pool(2) as pool: assert pool.map(f, range(5)) == [0, 1, 4, 9, 16]
""",
    "multiprocessing queue and lock": """
import multiprocessing as m
def f(q, lock):
    with lock: q.put(1)
q, lock = m.Queue(), m.Lock()
ps = [m.Process(target=f, args=(q, lock)) for _ in range(3)]
[p.start() for p in ps]; [p.join() for p in ps]
assert [q.get() for _ in ps] == [1, 1, 1]
""",
    "process pool executor": """
from concurrent.futures import ProcessPoolExecutor as P
if __name__ == '__main__':
    with P(2) as pool: assert list(pool.map(abs, [-1, -2])) == [1, 2]
""",
    "shared memory": """
from multiprocessing import shared_memory as s
m = s.SharedMemory(create=True, size=100); m.buf[0] = 7; assert m.buf[0] == 7; m.close(); m.unlink()
""",
    "threads": """
import threading
found = []
ts = [threading.Thread(target=found.append, args=(i,)) for i in range(20)]
[t.start() for t in ts]; [t.join() for t in ts]; assert len(found) == 20
""",
    "thread that outlives main": """
import threading, time
threading.Thread(target=lambda: (time.sleep(0.1), open('late', 'w').write('x'))).start()
""",
    "asyncio": """
import asyncio
async def main():
    p = await asyncio.create_subprocess_exec('echo', 'hi', stdout=asyncio.subprocess.PIPE)
    assert (await p.communicate())[0] == b'hi\\n'
    assert sum(await asyncio.gather(*(asyncio.sleep(0.01, i) for i in range(50)))) == 1225
asyncio.run(main())
""",
    "a socket pair": "import socket; a, b = socket.socketpair(); a.send(b'x'); assert b.recv(1)",
    "alarm": """
import signal, time
class Late(Exception): pass
def late(*_): raise Late
signal.signal(signal.SIGALRM, late); signal.setitimer(signal.ITIMER_REAL, 0.1)
try: time.sleep(5); raise SystemExit('no alarm')
except Late: pass
""",
    "alarm without handler ends": """
import os, signal, time
pid = os.fork()
if pid == 0: signal.alarm(1); time.sleep(5); os._exit(0)
assert os.waitpid(pid, 0)[1] == signal.SIGALRM
""",
    "sigterm handler": """
import os, signal
seen = []
signal.signal(signal.SIGTERM, lambda *_: seen.append(1)); os.kill(os.getpid(), signal.SIGTERM)
assert seen
""",
    "sqlite": """
import sqlite3
db = sqlite3.connect('x.db'); db.execute('create table t(a)')
db.execute('insert into t values (1)'); db.commit()
assert db.execute('select * from t').fetchall() == [(1,)]
""",
    "unicode file names": """
open('ü 😀.txt', 'w').write('ß')
assert open('ü 😀.txt').read() == 'ß'
""",
    "ten megabytes": """
open('big', 'wb').write(bytes(10 << 20))
assert len(open('big', 'rb').read()) == 10 << 20
""",
    "temporary files": """
import tempfile, pathlib
with tempfile.TemporaryDirectory() as d: pathlib.Path(d, 'x').write_text('y')
with tempfile.NamedTemporaryFile() as f: f.write(b'x')
""",
    "importing own modules": """
open('mine.py', 'w').write('X = 1')
import mine; assert mine.X == 1
""",
    "memory mapped file": """
import mmap
open('m', 'wb').write(bytes(5000))
with open('m', 'r+b') as f: m = mmap.mmap(f.fileno(), 0); m[0] = 1; assert m[0] == 1
""",
    "stdin and stdout": "import sys; assert sys.stdin.read() == ''; print('ok', file=sys.stderr)",
    "input at the end of file": """
try: input()
except EOFError: pass
""",
    "atexit": "import atexit; atexit.register(lambda: open('bye', 'w').close())",
    "time and zone": """
import datetime, time
assert datetime.datetime.now().year > 2020; time.tzset()
""",
    "random numbers": "import random, secrets, uuid; secrets.token_hex(8); uuid.uuid4()",
    "dataclasses and pickle": """
import pickle
from dataclasses import dataclass
@dataclass
class A: x: int
assert pickle.loads(pickle.dumps(A(1))) == A(1)
""",
    "ctypes": "import ctypes; assert ctypes.CDLL(None).abs(-3) == 3",
    "deep recursion": """
import sys
sys.setrecursionlimit(20000)
def f(n): return 0 if n == 0 else 1 + f(n - 1)
assert f(9000) == 9000
""",
    "compression": "import gzip, lzma, zlib; assert zlib.decompress(zlib.compress(b'x' * 99))",
    "hash and json": "import hashlib, json; json.dumps({'a': hashlib.sha256(b'x').hexdigest()})",
    "fifo": """
import os, threading
os.mkfifo('f'); threading.Thread(target=lambda: open('f', 'w').write('x')).start()
assert open('f').read() == 'x'
""",
    "who am i": "import getpass, os, pwd; pwd.getpwuid(os.getuid()); os.getlogin",
    "processor count": "import os; assert os.cpu_count() >= 1; os.sched_getaffinity(0)",
    "signals between own processes": """
import os, signal, time
pid = os.fork()
if pid == 0: time.sleep(5); os._exit(0)
os.kill(pid, signal.SIGTERM); assert os.waitpid(pid, 0)[1] == signal.SIGTERM
""",
    "process groups": "import subprocess as s; p = s.Popen(['sleep', '9'], start_new_session=True);"
    " import os, signal; os.killpg(p.pid, 9); assert p.wait() == -9",
}
WITHOUT_NAMESPACES_NOT = {"who am i", "shared memory", "multiprocessing queue and lock",
                          "multiprocessing pool", "process pool executor"}  # fmt: skip


@pytest.mark.parametrize("name", list(PROGRAMS))
async def test_an_honest_program_works(jail: JailBackend, name: str) -> None:
    if not in_namespaces() and name in WITHOUT_NAMESPACES_NOT:
        pytest.skip("needs /dev/shm or /etc/passwd, which the landlock form does not show")
    box = await lease(jail, Limits())
    result = await box.run_python(PROGRAMS[name])
    assert result.ok, (result.status, result.stderr.decode())
    await box.aclose()
