"""An agent of our own making: real enrolment and certificate, and whatever it likes to say after."""
import os
import subprocess

from .client import Conversation, pb, request_id


def key_and_csr(directory, name, subject="/CN=whatever"):
    """A P-256 key and a request made by openssl; the paths' contents: (key, csr)."""
    key, csr = f"{directory}/{name}.key", f"{directory}/{name}.csr"
    subprocess.run(["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", csr,
                    "-subj", subject], check=True, capture_output=True)
    with open(key, "rb") as k, open(csr, encoding="ascii") as c:
        return k.read(), c.read()


def facts(**more):
    return pb.HostFacts(hostname="fake", slots=4, cpu_milli=8000, memory=1 << 34,
                        disk_free=1 << 40, containment="none", os="test", address="127.0.0.1",
                        **more)


class FakeAgent:
    def __init__(self, cluster, name, labels=None, subject="/CN=whatever"):
        self.cluster = cluster
        self.name = name
        self.directory = f"{cluster.root}/{name}"
        os.makedirs(self.directory)
        self.token = cluster.enrol_token(name, labels)
        self.key, self.csr = key_and_csr(self.directory, name, subject)
        self.enrolled = cluster.client().agents.Enrol(self.request())
        self.id = self.enrolled.agent_id
        self.cert = self.enrolled.certificate_pem.encode()
        self.api = cluster.agent_client(self.cert, self.key)
        self.boot = "fake-boot"

    def request(self, **changed):
        fields = dict(token=self.token.split(".")[0], csr_pem=self.csr, host=facts(),
                      request_id=request_id(), version="0.1.0")
        fields.update(changed)
        return pb.EnrolRequest(**fields)

    def session(self, register=True, **kw):
        talk = Session(self)
        if register:
            talk.register(**kw)
        return talk


class Session(Conversation):
    """Counts its messages; the numbers may be given to be wrong."""

    def __init__(self, agent, api=None):
        super().__init__((api or agent.api).agents.Session)
        self.agent = agent
        self.seq = 0
        self.heard = []  # of a batch: what was not asked for yet

    def post(self, seq=None, **body):
        self.seq = self.seq + 1 if seq is None else seq
        self.say(pb.AgentBatch(messages=[pb.AgentMessage(seq=self.seq, **body)]))
        return self.seq

    def hear(self, timeout=60):
        """The next message, whatever batch it came in."""
        while not self.heard:
            batch = super().hear(timeout)
            if batch is None:
                return None
            self.heard = list(batch.messages)
        return self.heard.pop(0)

    def register(self, held=(), **kw):
        fields = dict(boot_id=self.agent.boot, instance="one", host=facts(), held=held,
                      version="0.1.0")
        fields.update(kw)
        seq = self.post(register=pb.Register(**fields))
        message = self.hear()
        assert message is not None, f"{self.error.code()}: {self.error.details()}"
        assert message.registered.request_seq == seq, message
        return message.registered

    def expect(self, kind, timeout=60):
        """The next message of a kind; what comes between is dropped."""
        while True:
            message = self.hear(timeout)
            assert message is not None, (f"ended while waiting for {kind}: "
                                         f"{self.error and self.error.details()}")
            if message.WhichOneof("body") == kind:
                return getattr(message, kind)

    def offered(self):
        """Waits for an offer of one attempt and returns it."""
        return self.expect("offer").assignments[0]

    def accept(self, fence):
        seq = self.post(accept=pb.Accept(fences=[fence]))
        accepted = self.expect("accepted")
        assert accepted.request_seq == seq and list(accepted.fences) == [fence], accepted

    def finish(self, assignment, reason=pb.EXIT_OK, **kw):
        """Returns the FinishAck."""
        self.post(finish=pb.Finish(attempts=[pb.FinishedAttempt(
            fence=assignment.fence, run_id=assignment.run_id, exit=pb.Exit(reason=reason), **kw)]))
        return self.expect("finish_ack")
