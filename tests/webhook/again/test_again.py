"""``again`` and the receiver, over a real socket and a real journal."""

import asyncio
import os
import stat
import time
from dataclasses import replace
from pathlib import Path

import pytest

from controller.cli.again import HEADER
from tests.support.again import call, remembering
from tests.support.deliveries import arrival
from tests.support.fakes import FakeRefresh
from tests.support.journal import until
from webhook.admin.deliveries import Delivery
from webhook.again.messages import SOCKET_NAME
from webhook.arrival import CATCH_UP, QUEUE, Arrival

Capture = pytest.CaptureFixture[str]
PULL = ("pull_request", "https://dev.azure.com/org/project/_git/app/pullrequest/7")


def refreshed(count: int) -> FakeRefresh:
    """A refresh of so many objects, all of them stored."""
    refresh = FakeRefresh(count)
    refresh.persist(count)
    return refresh


def pushed(number: int, *, minutes: float = 1.0, receiver: str = "kargo-demo/az") -> Arrival:
    """A push to an image of this number, so long ago."""
    subject = ("image", f"r.azurecr.io/app{number}")
    return arrival(f"d{number}", subject, receiver=receiver, received=time.time() - 60 * minutes)


async def test_a_delivery_is_dispatched_anew_and_the_history_says_so(tmp_path: Path, capsys: Capture) -> None:
    """As one of its own, which names the one that it repeats; with all that is known of that one."""
    async with remembering(tmp_path, refreshed(2)) as history:
        await history.add(replace(pushed(1, minutes=30), refs=("1.2.3",)))
        done = await call(capsys, tmp_path, "d1")
        (row,) = await history.repeats()
    assert (done.code, done.err) == (0, "")
    head, line = done.out.splitlines()
    assert head.split() == " ".join(HEADER).split()
    assert line.split() == [
        *("d1", "kargo-demo/az", "r.azurecr.io/app1", "2", "2", "refreshed"),
        *("kargo-demo/w0,", "kargo-demo/w1", row.id),
    ]
    assert (row.via, row.repeats, row.refs, row.matched, row.refreshed) == ("again", "d1", ("1.2.3",), 2, 2)
    assert (row.receiver, row.source, row.event) == ("kargo-demo/az", "acr", "push")
    ((receiver, _, received, delivery),) = history.dispatcher.dispatched
    assert (receiver, delivery) == ("kargo-demo/az", row.id)
    assert time.time() - received < 30, "what is refreshed now counts, not what was refreshed since the push"


async def test_a_time_and_filters(tmp_path: Path, capsys: Capture) -> None:
    """The oldest first; the same call a second time repeats no more than the first."""
    async with remembering(tmp_path) as history:
        await history.add(pushed(1, minutes=90), pushed(2, minutes=3), pushed(3, minutes=2))
        await history.add(pushed(4, receiver="other/az"), matched=0)
        for flags, found in [
            (["--since=1h"], ["app2", "app3", "app4"]),
            (["--since=2h"], ["app1", "app2", "app3", "app4"]),
            (["--since=2h", "--receiver=other/az"], ["app4"]),
            (["--since=2h", "--repository=R.azurecr.io/APP3"], ["app3"]),
            (["--since=2h", "--outcome=refreshed"], ["app1", "app2", "app3"]),
        ]:
            history.dispatcher.dispatched.clear()
            done = await call(capsys, tmp_path, *flags, "-o=json")
            assert (done.code, done.err) == (0, "")
            assert history.dispatched == [f"r.azurecr.io/{each}" for each in found]
            assert [each["repository"] for each in done.json] == history.dispatched
        nothing = await call(capsys, tmp_path, "--since=1m", "--receiver=nobody/az")
        assert nothing == (3, "no delivery matches\n", "")
        assert await call(capsys, tmp_path, "--since=1s", "-o=json") == (3, "[]\n", "")


async def test_pull_requests_and_what_came_by_a_queue(tmp_path: Path, capsys: Capture) -> None:
    """They too."""
    async with remembering(tmp_path) as history:
        queued = replace(pushed(1, receiver="kargo-demo/queue:account/name"), via=QUEUE)
        await history.add(arrival("pr", PULL), queued)
        assert (await call(capsys, tmp_path, "pr", "d1")).code == 0
    assert [(receiver, subjects) for receiver, subjects, _, _ in history.dispatcher.dispatched] == [
        ("kargo-demo/az", (PULL,)),
        ("kargo-demo/queue:account/name", queued.subjects),
    ]


async def test_what_cannot_be_repeated_says_why(tmp_path: Path, capsys: Capture) -> None:
    """What asked for no refresh, a catch-up, what is nowhere; the others are dispatched."""
    async with remembering(tmp_path) as history:
        await history.note(Arrival("ping", "kargo-demo/az", "acr", "ping", received=time.time()))
        await history.note(Arrival("caught", "", CATCH_UP, CATCH_UP, received=time.time(), via=CATCH_UP))
        await history.add(pushed(1))
        done = await call(capsys, tmp_path, "ping", "caught", "nowhere", "d1", "-o=json")
        assert done.code == 1
        assert [(each["repeats"], each["outcome"], each["problem"]) for each in done.json] == [
            ("ping", "", "it asked for no refresh (ping, answered): nothing can be repeated"),
            ("caught", "", "a catch-up can't be repeated: it was no delivery"),
            ("nowhere", "", "no replica that was asked has a delivery of this id"),
            ("d1", "unmatched", ""),
        ]
        assert history.dispatched == ["r.azurecr.io/app1"]
        table = await call(capsys, tmp_path, "nowhere", "nowhere")
        assert table.code == 3
        assert table.out.count("unknown: no replica") == 1


async def test_what_another_replica_received_names_its_pod(tmp_path: Path, capsys: Capture) -> None:
    """But not in a peer's words, if they are no Pod's name."""
    async with remembering(tmp_path) as history:
        for id_, replica in (("d1", "kargo-azure-receiver-0"), ("d2", "x; rm -rf /")):
            shown = {"id": id_, "received": 0, "unix": 0.0, "receiver": "", "source": "", "event": ""}
            history.elsewhere[id_] = Delivery(**shown, outcome="refreshed", replica=replica)  # type: ignore[arg-type]
        done = await call(capsys, tmp_path, "d1", "d2")
    assert done.code == 3
    assert (
        "Pod kargo-azure-receiver-0 received it:"
        " kubectl exec kargo-azure-receiver-0 -- kargo-azure-receiver again d1" in done.out
    )
    assert "rm -rf" not in done.out


async def test_what_is_outstanding_or_rejected(tmp_path: Path, capsys: Capture) -> None:
    """After the reply budget it is pending, which is well, since the journal has it."""
    slow, rejected = FakeRefresh(1), FakeRefresh(1)
    rejected.reject()
    async with remembering(tmp_path, slow, rejected, budget=0.5) as history:
        await history.add(pushed(1), pushed(2))
        pending = await call(capsys, tmp_path, "d1", "-o=json")
        assert (pending.code, pending.json[0]["outcome"]) == (0, "pending")
        refused = await call(capsys, tmp_path, "d2", "-o=json")
        assert (refused.code, refused.json[0]["problem"]) == (1, "the Kubernetes API rejected 1")
        slow.persist()
        assert [each.outcome.value for each in await history.repeats()] == ["rejected", "refreshed"]


async def test_one_call_at_a_time(tmp_path: Path, capsys: Capture) -> None:
    """The second is one line; when the first has ended, or its caller has gone, there is room."""
    slow = FakeRefresh(1)
    async with remembering(tmp_path, slow) as history:
        await history.add(pushed(1), pushed(2))
        _, writer = await asyncio.open_unix_connection(str(tmp_path / SOCKET_NAME))
        writer.write(b'{"version":1,"ids":["d1"]}\n')
        await until(lambda: bool(history.dispatched))
        second = await call(capsys, tmp_path, "d2")
        assert (second.code, second.out) == (1, "")
        assert second.err.endswith("another call of 'again' is in progress: try again when it has ended\n")
        assert second.err.count("\n") == 1
        writer.close()
        slow.persist()
        await asyncio.sleep(0.1)
        assert (await call(capsys, tmp_path, "d2")).code == 0
        assert len(await history.repeats()) == 2


async def test_only_the_folders_user_may_call(tmp_path: Path) -> None:
    """Whatever the folder's own mode is."""
    async with remembering(tmp_path):
        found = os.stat(tmp_path / SOCKET_NAME)
    assert stat.S_ISSOCK(found.st_mode)
    assert stat.S_IMODE(found.st_mode) == 0o600
