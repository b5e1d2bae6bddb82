"""What must be true after any fault (PROTOCOL.md): each function finds one kind of lie."""
import hashlib
import os
import re
import sqlite3
import time

from . import processes
from .client import pb
from .cluster import ENDED, job_of, summary
from .processes import until

TERMINAL = (pb.JOB_SUCCEEDED, pb.JOB_FAILED, pb.JOB_CANCELLED, pb.JOB_SKIPPED)
CLOSED = "ATTEMPT_SUCCEEDED ATTEMPT_FAILED ATTEMPT_CANCELLED ATTEMPT_LOST ATTEMPT_WITHDRAWN".split()


class Ledger:
    """What jobs write with O_APPEND outside of Sluice, and a lock per job that their whole tree holds.

    A second attempt that runs while anything of the first lives finds the lock taken and says so.
    """

    def __init__(self, root):
        self.directory = f"{root}/ledger"
        os.makedirs(self.directory, exist_ok=True)
        os.chmod(self.directory, 0o777)
        self.path = f"{self.directory}/ledger"
        with open(self.path, "w", encoding="ascii"):
            os.chmod(self.path, 0o666)

    def shell(self):
        """Lines for the beginning of a job."""
        return (f'me="$SLUICE_RUN/$SLUICE_JOB"; exec 9>"{self.directory}/lock-$SLUICE_RUN-'
                '$(echo "$SLUICE_JOB" | tr -c A-Za-z0-9 _)"\n'
                f'flock -n 9 || echo "overlap $me $SLUICE_ATTEMPT" >>"{self.path}"\n'
                f'echo "start $me $SLUICE_ATTEMPT" >>"{self.path}"')

    def end(self):
        return f'echo "end $me $SLUICE_ATTEMPT" >>"{self.path}"'

    def lines(self, word=""):
        with open(self.path, encoding="ascii") as f:
            return [line.split() for line in f if line.startswith(word)]

    def check(self):
        """No overlap per job, no attempt started twice."""
        seen = set()
        for line in self.lines():
            assert line[0] != "overlap", f"two attempts at a time: {' '.join(line)}"
            if line[0] == "start":
                assert tuple(line) not in seen, f"started twice: {' '.join(line)}"
                seen.add(tuple(line))
        return len(seen)


# ---- logs: a stream that a seed makes

def stream_shell(seed, lines, pause="", every=50):
    """A shell text that writes the stream, with `sleep pause` now and then."""
    nap = f'if (i % {every} == {every - 1}) {{ fflush(); system("sleep {pause}") }}' if pause else ""
    return (f"awk 'BEGIN {{ for (i = 0; i < {lines}; i++) {{ "
            f'printf "%d %d %.0f\\n", {seed}, i, (i * 2654435761 + {seed}) % 4294967296; {nap} }} }}\'')


def stream(seed, lines):
    return "".join(f"{seed} {i} {(i * 2654435761 + seed) % (1 << 32)}\n"
                   for i in range(lines)).encode()


def log_is(cluster, run, job, want, attempt=0, killed=0):
    """killed: so many helpers of jobs may have been killed, of which their shells say a word."""
    got = cluster.retry(lambda: cluster.output(run, job, attempt))
    got = got.replace(b"Killed\n", b"", killed)
    if got == want:
        return
    at = next((i for i, (a, b) in enumerate(zip(got, want)) if a != b), min(len(got), len(want)))
    raise AssertionError(f"the log of {job} differs at byte {at} ({len(got)} of {len(want)} bytes): "
                         f"{got[max(0, at - 60):at + 60]!r}, not {want[max(0, at - 60):at + 60]!r}")


# ---- the controller's word

def run_ended(detail):
    """A run that ended has only jobs that ended, and says why when it did not succeed."""
    assert detail.run.state in ENDED, summary(detail)
    for job in detail.jobs:
        assert job.state in TERMINAL, f"{job.spec.name} in an ended run: {summary(detail)}"
    if detail.run.state == pb.RUN_SUCCEEDED:
        assert all(j.state == pb.JOB_SUCCEEDED for j in detail.jobs), summary(detail)


def audit_chain(cluster):
    """Every event's hash, made again here from its bytes; and no sequence number is missing."""
    previous, seq = None, None
    events = cluster.retry(lambda: cluster.events(after_seq=0))
    assert events, "no event at all"
    for event in events:
        copy = pb.Event.FromString(event.SerializeToString())
        copy.ClearField("hash")
        packed = copy.SerializeToString(deterministic=True)
        assert hashlib.sha256(packed).digest() == event.hash, f"event {event.seq}: its hash"
        assert previous is None or event.prev_hash == previous, f"event {event.seq}: its chain"
        assert seq is None or event.seq == seq + 1, f"event {event.seq} follows {seq}"
        previous, seq = event.hash, event.seq
    return events


def terminal_once(events):
    """A terminal state never changes: one finishing event per run and per attempt that ended."""
    ended = set()
    for event in events:
        if event.kind in (pb.EVENT_RUN_FINISHED, pb.EVENT_JOB_FINISHED):
            key = (event.kind, event.run_id, event.job_id)
            assert key not in ended, f"ended twice: {event}"
            ended.add(key)


def database(cluster):
    """Its own check, from outside, read only."""
    db = sqlite3.connect(f"file:{cluster.state}/sluice.db?mode=ro", uri=True, timeout=30)
    try:
        assert db.execute("pragma integrity_check").fetchall() == [("ok",)]
    finally:
        db.close()


def artifacts(cluster):
    """Every visible artifact, downloaded and hashed again; returns how many."""
    token, count = "", 0
    while True:
        reply = cluster.retry(lambda: cluster.api.artifacts.List(pb.ListArtifactsRequest(
            page=pb.PageRequest(size=1000, token=token))))
        for artifact in reply.artifacts:
            if artifact.collected:
                continue
            manifest, data = cluster.retry(lambda: cluster.download(artifact.digest))
            assert len(data) == artifact.size == manifest.size, artifact
            count += 1
        token = reply.next
        if not token:
            return count


def agents_idle(cluster):
    """No agent has an attempt any more, and none of its slots or CPUs are taken."""
    def probe():
        reply = cluster.api.agents.List(pb.ListAgentsRequest())
        return all(not a.attempts and not a.used_slots and not a.used_cpu_milli
                   for a in reply.agents)
    until("agents are idle", lambda: cluster.retry(probe), pause=0.1)


def hosts_agree(cluster, name, release=None):
    """All hosts of an environment run what was decided."""
    d = cluster.environment(name)
    live = d.environment.live
    assert release is None or d.live.number == release, f"{name} is on r{d.live.number}"
    for host in d.environment.hosts:
        assert host.release == live and host.state == pb.EnvironmentHost.NEW and host.healthy, \
            f"{name}: live {live}, {host}"
    return d


def hosts_agree_soon(cluster, name, release=None):
    """The same, once what the hosts say of their health has arrived."""
    d = cluster.environment_is(name, lambda d: not d.environment.promotion and all(
        h.release == d.environment.live and h.healthy and h.state == pb.EnvironmentHost.NEW
        for h in d.environment.hosts), "all hosts run what was decided")
    assert release is None or d.live.number == release, f"{name} is on r{d.live.number}"
    return d


# ---- what is left on the machine

OURS = (b"sluice-controller", b"sluice-agent", b"sluice-shim")


def job_processes(root):
    """Processes below a directory that are none of the programs."""
    found = []
    for pid in processes.processes_of(root):
        words = processes.read_proc(pid, "cmdline").split(b"\0")
        if os.path.basename(words[0]) not in OURS:
            found.append(pid)
    return found


def no_job_runs(cluster):
    """Nothing of any job is left running."""
    until("nothing of a job is left", lambda: not job_processes(cluster.root), pause=0.2)


def agent_is_clean(agent):
    """What an agent kept for attempts is gone: workspaces, spools."""
    def left():
        found = []
        for name in ("work", "spool"):
            directory = f"{agent.state}/{name}"
            if os.path.isdir(directory):
                found += [f"{name}/{entry}" for entry in os.listdir(directory)]
        return [f for f in found if re.match(r"(work|spool)/\d", f)]
    until(f"{agent.name} is clean: {left()}", lambda: not left())


def temporary_files(directory):
    """Files that only live between a write and its rename."""
    found = []
    for path, names, files in os.walk(directory):
        for name in files + names:
            if re.search(r"\.(tmp|new|part)\b|\.tmp[.-]|^tmp[.-]|\.XXXX", name):
                found.append(os.path.join(path, name))
    return found


def no_temporary_files(cluster):
    until(f"no temporary file is left: {temporary_files(cluster.root)[:5]}",
          lambda: not temporary_files(cluster.root), 30)


def all_of(cluster, ledger=None):
    """Everything that can be asked of any cluster whose runs have ended."""
    begun = time.monotonic()
    agents_idle(cluster)
    no_job_runs(cluster)
    terminal_once(audit_chain(cluster))
    count = artifacts(cluster)
    database(cluster)
    no_temporary_files(cluster)
    for agent in cluster.agents_by_name.values():
        agent_is_clean(agent)
    if ledger:
        ledger.check()
    print(f"the oracles took {time.monotonic() - begun:.1f} s, {count} artifacts", flush=True)
