"""A real Slurm of one node: munged, slurmctld and slurmd as processes of this user, with all files in one folder.

Tested with Debian 12's packages (Slurm 22.05): `apt install slurmctld slurmd slurm-client munge`. It needs no systemd,
no database and no cgroups; so nothing keeps jobs from using more cores and memory than they asked for.
"""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scancel", "sinfo", "squeue")
PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))  # Debian's folder of daemons

# `config_overrides`: the node has two cores for Slurm however many the machine has. cgroup/v1 creates no cgroup unless
# proctrack/cgroup or task/cgroup asks for one; cgroup/v2, the default on most machines, needs systemd.
CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
MailProg=/bin/true
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 Boards=1 SocketsPerBoard=1 CoresPerSocket=2 ThreadsPerCore=1 RealMemory=4000
PartitionName=main Nodes={host} Default=YES
"""


def missing() -> list[str]:
    """The programs of Slurm and munge that this machine does not have."""
    return [name for name in PROGRAMS if shutil.which(name, path=PATH) is None]


@contextmanager
def slurm(folder: Path) -> Iterator[dict[str, str]]:
    """Start a Slurm with one node of two cores; yields the environment that its commands need.

    folder: at most 90 characters, because the path of munge's socket may have 107.
    """
    folder = folder.resolve()
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    (folder / "key").write_bytes(os.urandom(128))
    (folder / "key").chmod(0o600)
    controller, node = _free_ports(2)
    host = socket.gethostname().split(".")[0]
    text = CONFIGURATION.format(host=host, controller=controller, node=node, user=getpass.getuser(), folder=folder)
    (folder / "slurm.conf").write_text(text, encoding="utf-8")
    (folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n", encoding="utf-8")
    environment = {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": PATH}
    own = {**os.environ, **environment}
    names = {"socket": "munge.socket", "key-file": "key", "pid-file": "munged.pid", "seed-file": "seed"}
    options = [f"--{option}={folder / name}" for option, name in names.items()]
    with ExitStack() as stack:
        # `--force`: other users cannot reach the socket in a test's folder, which munged takes for a mistake.
        munged = stack.enter_context(_running(folder, own, "munged", "--foreground", "--force", *options))
        _wait(folder, munged, (folder / "munge.socket").exists)
        slurmctld = stack.enter_context(_running(folder, own, "slurmctld", "-D"))
        _wait(folder, slurmctld, lambda: "main" in _said(own, "sinfo"))
        slurmd = stack.enter_context(_running(folder, own, "slurmd", "-D"))
        _wait(folder, slurmd, lambda: "idle" in _said(own, "sinfo"))
        try:
            yield environment
        finally:
            _said(own, "scancel", "--user", getpass.getuser())
            _wait(folder, slurmd, lambda: not _said(own, "squeue", "--noheader"))


@contextmanager
def _running(
    folder: Path, environment: Mapping[str, str], name: str, *options: str
) -> Iterator[subprocess.Popen[bytes]]:
    """A daemon in the foreground, whose output goes to NAME.log; it is ended by a signal that it answers."""
    with open(folder / f"{name}.log", "wb") as log:
        process = subprocess.Popen([name, *options], cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _said(environment: Mapping[str, str], *command: str) -> str:
    return subprocess.run(command, env=environment, capture_output=True, text=True, encoding="utf-8").stdout


def _wait(folder: Path, process: subprocess.Popen[bytes], ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            logs = [f"{log.name}:\n{log.read_text(encoding='utf-8')}" for log in sorted(folder.glob("*.log"))]
            raise RuntimeError("\n".join([f"{process.args!r} ended or is not ready", *logs]))
        time.sleep(0.1)


def _free_ports(number: int) -> list[int]:
    """Different ports that nothing listened on a moment ago; Slurm cannot choose one itself."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(number)]
        return [listening.getsockname()[1] for listening in sockets]
