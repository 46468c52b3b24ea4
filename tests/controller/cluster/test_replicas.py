"""Who lives and what is owed, decided from Leases alone, on clocks that a test moves."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from controller.cluster.leases import Lease
from controller.cluster.replicas import JOB, LONG_GONE, Decision, Job, Replicas, finished, job_of

START = 1_800_000_000.0


class Cluster:
    """Leases in memory, and replicas that take turns; replicas write what they decide."""

    def __init__(self) -> None:
        self.now = START
        self.leases: dict[str, Lease] = {}
        self.claims: list[Job] = []
        self.reachable = True
        self._version = 0

    def write(self, lease: Lease) -> bool:
        known = self.leases.get(lease.name)
        if (known.version if known else "") != lease.version:
            return False
        self._version += 1
        notes = {note: text for note, text in lease.notes.items() if text}
        self.leases[lease.name] = replace(lease, version=str(self._version), notes=notes)
        return True

    def job(self) -> Lease | None:
        return self.leases.get(JOB)


class Pod:
    """One process of a replica."""

    def __init__(self, cluster: Cluster, name: str, journal: str | None = None) -> None:
        self.cluster = cluster
        self.name = name
        self.journal = journal or f"journal of {name}"
        self.replicas = Replicas(name, self.journal, served=cluster.now)
        self.unfinished: float | None = None

    def turn(self) -> Decision | None:
        """Make one round."""
        cluster = self.cluster
        if not cluster.reachable:
            self.replicas.missed()
            return None
        decision = self.replicas.see(
            list(cluster.leases.values()),
            monotonic=cluster.now - START,
            time=cluster.now,
            unfinished=self.unfinished,
        )
        assert cluster.write(decision.own)
        if decision.claim is not None:
            assert cluster.write(decision.claim)
            self.replicas.claimed()
            if decision.reason:
                cluster.claims.append(job_of(decision.claim))
        for name in decision.gone:
            cluster.leases.pop(name, None)
        return decision

    def end(self) -> None:
        """End in an orderly way."""
        leases = list(self.cluster.leases.values())
        until = self.cluster.now
        for lease in self.replicas.released(leases, until=until, unfinished=self.unfinished):
            assert self.cluster.write(lease)


def rounds(cluster: Cluster, *pods: Pod, count: int = 6) -> None:
    for _ in range(count):
        for pod in pods:
            pod.turn()
        cluster.now += 10.0


def test_the_first_installation_owes_nothing() -> None:
    """Where no Lease ever was, nothing was promised."""
    cluster = Cluster()
    rounds(cluster, Pod(cluster, "a"), Pod(cluster, "b"))
    assert cluster.claims == []


def test_an_outage_is_caught_up_once() -> None:
    """Two replicas that start together after an outage: one of them takes it on, from the last sign on."""
    cluster = Cluster()
    rounds(cluster, Pod(cluster, "a"), Pod(cluster, "b"), count=3)
    last = max(lease.renewed for lease in cluster.leases.values())
    cluster.now += 60.0
    rounds(cluster, Pod(cluster, "c"), Pod(cluster, "d"))
    (job,) = cluster.claims
    assert (job.reason, job.since) == ("outage", last)
    assert sorted(cluster.leases) == ["c", "d", JOB]


def test_after_an_orderly_end_an_outage_is_known_at_once() -> None:
    """No replica could still be alive, so there is nothing to wait for."""
    cluster = Cluster()
    pod = Pod(cluster, "a")
    rounds(cluster, pod, count=2)
    pod.end()
    cluster.now += 31.0
    Pod(cluster, "b").turn()
    assert [job.reason for job in cluster.claims] == ["outage"]


def test_an_orderly_restart_within_30_seconds_owes_nothing() -> None:
    """Neither the replica nor the short time without one."""
    cluster = Cluster()
    pods = Pod(cluster, "a"), Pod(cluster, "b")
    rounds(cluster, *pods, count=3)
    for pod in pods:
        pod.end()
    cluster.now += 20.0
    rounds(cluster, Pod(cluster, "c"), Pod(cluster, "d"), count=10)
    assert cluster.claims == []


def test_a_roll_out_owes_nothing_and_old_leases_go() -> None:
    """The Lease of a Pod long gone is removed."""
    cluster = Cluster()
    old = Pod(cluster, "old")
    rounds(cluster, old, count=3)
    new = Pod(cluster, "new")
    new.turn()
    old.end()
    rounds(cluster, new, count=10)
    assert "old" in cluster.leases
    cluster.now += LONG_GONE
    rounds(cluster, new, count=4)
    assert "old" not in cluster.leases
    assert cluster.claims == []


def test_a_lost_replica_is_caught_up_since_it_owed_something() -> None:
    """Its Lease ran out; the job begins with its oldest unfinished work."""
    cluster = Cluster()
    lost, other = Pod(cluster, "lost"), Pod(cluster, "other")
    lost.unfinished = START - 5.0
    rounds(cluster, lost, other, count=3)
    rounds(cluster, other, count=10)
    (job,) = cluster.claims
    assert (job.reason, job.since) == ("replica_lost", START - 5.0)
    assert "lost" not in cluster.leases


def test_an_orderly_end_that_leaves_work_is_a_loss() -> None:
    """The Pod's disk went with it, unless it comes back in time."""
    cluster = Cluster()
    leaving, other = Pod(cluster, "leaving"), Pod(cluster, "other")
    rounds(cluster, leaving, other, count=3)
    leaving.unfinished = cluster.now
    leaving.end()
    rounds(cluster, other)
    assert [job.reason for job in cluster.claims] == ["replica_lost"]


def test_a_container_that_finds_its_journal_owes_nothing() -> None:
    """The same Pod with the same journal goes on where the last process was killed."""
    cluster = Cluster()
    rounds(cluster, Pod(cluster, "a"), count=2)
    rounds(cluster, Pod(cluster, "a"), count=10)
    assert cluster.claims == []


def test_a_pod_without_its_journal_has_lost_it() -> None:
    """The same name with an empty disk: at once, since its former self is gone for certain."""
    cluster = Cluster()
    rounds(cluster, Pod(cluster, "a"), count=2)
    Pod(cluster, "a", journal="another").turn()
    assert [job.reason for job in cluster.claims] == ["replica_lost"]


def test_a_suspicion_survives_a_crash() -> None:
    """An outage that is not yet certain when the process dies is found by the next one in its Pod."""
    cluster = Cluster()
    rounds(cluster, Pod(cluster, "a"), count=2)
    cluster.now += 300.0
    Pod(cluster, "b").turn()
    cluster.now += 5.0
    rounds(cluster, Pod(cluster, "b"))
    assert [job.reason for job in cluster.claims] == ["outage"]


def test_without_an_api_server_nobody_is_taken_for_gone() -> None:
    """Five minutes without renewals, and the first round afterwards: the others had no chance yet."""
    cluster = Cluster()
    pods = Pod(cluster, "a"), Pod(cluster, "b")
    rounds(cluster, *pods, count=3)
    cluster.reachable = False
    rounds(cluster, *pods, count=30)
    cluster.reachable = True
    rounds(cluster, *pods)
    assert cluster.claims == []


def test_the_others_may_be_slower_when_the_api_server_returns() -> None:
    """A request of theirs may hang for 10 s, and they try again 3 s later: not gone within 20 s."""
    cluster = Cluster()
    fast, slow = Pod(cluster, "fast"), Pod(cluster, "slow")
    rounds(cluster, slow, fast, count=3)
    cluster.reachable = False
    rounds(cluster, slow, fast, count=30)
    cluster.reachable = True
    rounds(cluster, fast, count=2)
    rounds(cluster, slow, fast, count=3)
    assert cluster.claims == []


def test_a_replica_that_starts_as_the_api_server_returns_waits_for_the_others() -> None:
    """Old Leases alone don't say that nobody served."""
    cluster = Cluster()
    old = Pod(cluster, "old")
    rounds(cluster, old, count=3)
    cluster.reachable = False
    rounds(cluster, old, count=30)
    cluster.reachable = True
    new = Pod(cluster, "new")
    new.turn()
    cluster.now += 9.0
    rounds(cluster, old, new)
    assert cluster.claims == []


def test_a_dead_replicas_catch_up_is_taken_over() -> None:
    """It begins anew, since the one that died may have lost something itself."""
    cluster = Cluster()
    rounds(cluster, Pod(cluster, "a"), count=2)
    cluster.now += 60.0
    first, second = Pod(cluster, "first"), Pod(cluster, "second")
    rounds(cluster, first, second, count=4)
    job = cluster.job()
    assert job is not None
    assert job.holder == "first"
    rounds(cluster, second, count=7)
    job = cluster.job()
    assert job is not None
    assert job.holder == "second"
    assert [each.reason for each in cluster.claims] == ["outage", "replica_lost"]
    assert cluster.claims[1].since <= cluster.claims[0].since


def test_a_catch_up_is_handed_on_in_an_orderly_end() -> None:
    """Another replica goes on with the same job."""
    cluster = Cluster()
    rounds(cluster, Pod(cluster, "a"), count=2)
    cluster.now += 60.0
    first, second = Pod(cluster, "first"), Pod(cluster, "second")
    rounds(cluster, first, second, count=4)
    first.end()
    second.turn()
    decision = second.turn()
    assert decision is not None
    assert decision.held is not None
    assert job_of(decision.held) == cluster.claims[0]


def test_a_finished_catch_up_is_not_made_again() -> None:
    """Its Lease stays, and says what it was."""
    cluster = Cluster()
    rounds(cluster, Pod(cluster, "a"), count=2)
    cluster.now += 60.0
    pod = Pod(cluster, "b")
    rounds(cluster, pod, count=4)
    job = cluster.job()
    assert job is not None
    cluster.write(finished(job, cluster.now))
    rounds(cluster, pod, count=10)
    assert len(cluster.claims) == 1


STEPS = st.lists(
    st.sampled_from(["a", "b", "start a", "start b", "kill a", "kill b", "end a", "end b", "away", "back"]),
    max_size=40,
)


@given(STEPS)
def test_what_was_lost_is_claimed_whatever_happens(steps: list[str]) -> None:
    """Two replicas on disks that go with their Pods; a push every second. None is lost without a job for it.

    A loss is a push that came while nobody served for longer than 30 s, or to a replica that is killed.
    """
    cluster = Cluster()
    alive: dict[str, Pod] = {}
    number = 0
    lost: list[float] = []
    """When each loss happened, the last moment of it."""
    down_since: float | None = None
    for step in [*steps, "back", "start a", *["a"] * 12]:
        what, _, which = step.rpartition(" ")
        if step in ("away", "back"):
            cluster.reachable = step == "back"
        elif what == "start" and which not in alive and cluster.reachable:
            number += 1
            alive[which] = Pod(cluster, f"{which}-{number}")
            if down_since is not None and cluster.leases and cluster.now - down_since > 30.0:
                lost.append(cluster.now)
            down_since = None
            alive[which].turn()
        elif what in ("kill", "end") and which in alive:
            pod = alive.pop(which)
            if what == "kill" and pod.name in cluster.leases:
                lost.append(cluster.now)
            elif cluster.reachable and what == "end":
                pod.end()
            if not alive:
                down_since = cluster.now
        elif not what and which in alive:
            alive[which].turn()
        cluster.now += 10.0 if not what else 1.0
    ends = [job.until for job in cluster.claims]
    for moment in lost:
        assert any(end >= moment for end in ends), (moment - START, ends)
