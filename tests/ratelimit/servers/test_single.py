"""store.py against servers that hang, die, restart, forget and refuse (laws L2, L4)."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from redis.exceptions import ResponseError

from billing_site.local.engines import Valkey
from ratelimit import scripts
from ratelimit.limits import Outcome
from ratelimit.servers.single import Command, RedisUnreachable, ServerChanged, SingleServer
from tests.ratelimit.account import NOW_MS, Account, Wants, quota
from tests.ratelimit.conftest import PATIENT_SECONDS, connect

HURRIED_SECONDS = 0.2
COST = Wants(quota(100), 10)
Start = Callable[..., Valkey]


def on(server: Valkey, timeout_seconds: float = PATIENT_SECONDS) -> Account:
    return Account(SingleServer(server.url, timeout_seconds)).published()


@contextmanager
def stopped(server: Valkey) -> Iterator[None]:
    """The server's process stands still: connections are accepted by the kernel, and nothing answers."""
    assert server.process is not None
    server.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        server.process.send_signal(signal.SIGCONT)


def clients_running_scripts(server: Valkey) -> set[str]:
    return {client["id"] for client in connect(server).client_list() if client["cmd"] in ("evalsha", "eval")}


def answered(account: Account, mark: int, wants: Wants = COST) -> bool:
    """Whether a call reads its own reply: the script says the call's clock back, and each mark makes it another one."""
    return account.admit(wants, now_ms=NOW_MS + mark).now_ms == NOW_MS + mark


def test_forgotten_scripts_are_sent_again(private_server: Start) -> None:
    server = private_server()
    account = on(server)
    account.admit(COST)
    for _ in range(2):
        connect(server).script_flush()
        assert account.admit(COST).outcome is Outcome.ADMITTED
    assert connect(server).script_exists(scripts.ADMIT.sha.decode()) == [True]
    assert account.used(quota(100)) == 30


def test_a_server_that_hangs_is_unreachable_and_its_late_reply_is_read_by_nobody(private_server: Start) -> None:
    server = private_server()
    account = on(server, HURRIED_SECONDS)
    account.admit(COST)
    with stopped(server):
        for _ in range(3):  # on the warm connection, then on new ones
            with pytest.raises(RedisUnreachable):
                account.admit(COST, event="nobody knows")
    assert on(server).admit(COST).outcome is Outcome.ADMITTED  # it has worked off what was sent before
    for n in range(3):
        assert answered(account, n + 1, Wants(quota(100), 1))


def test_a_question_that_hangs_is_unreachable_as_well(private_server: Start) -> None:
    server = private_server()
    store = SingleServer(server.url, HURRIED_SECONDS)
    assert store.ask(b"key", b"INCR", b"key") == 1
    with stopped(server), pytest.raises(RedisUnreachable, match="did not answer in time"):
        store.ask(b"key", b"GET", b"key")
    with pytest.raises(ResponseError):
        store.ask(b"key", b"LPUSH", b"key", b"no list")
    assert store.ask(b"key", b"GET", b"key") == b"1"


def test_what_was_sent_before_a_timeout_is_run_once_at_most(private_server: Start) -> None:
    server = private_server()
    account = on(server, HURRIED_SECONDS)
    account.admit(COST)
    with stopped(server), pytest.raises(RedisUnreachable):
        account.admit(COST, audit=b"once")
    found = [fields[b"e"] for _, fields in connect(server).xrange(account.keys.stream)]
    assert found.count(b"once") <= 1
    assert Account(SingleServer(server.url, PATIENT_SECONDS), account.number).used(quota(100)) == 10 * len(found)


def test_a_killed_server_is_unreachable_and_the_process_recovers_however_long_it_was_away(
    private_server: Start,
) -> None:
    server = private_server()
    account = on(server, HURRIED_SECONDS)
    server.kill()
    for _ in range(150):  # a connection pool would have given up for good after a hundred
        with pytest.raises(RedisUnreachable):
            account.admit(COST)
    server.start()
    assert account.published().admit(COST).outcome is Outcome.ADMITTED


def test_a_server_that_was_never_there_is_unreachable(private_server: Start) -> None:
    server = private_server()
    account = Account(SingleServer(server.url, HURRIED_SECONDS))
    server.kill()
    with pytest.raises(RedisUnreachable):
        account.admit(COST)


@pytest.mark.parametrize("durable", [True, False], ids=["with its data", "empty"])
def test_after_a_restart_who_told_the_old_server_is_told_so_and_nothing_is_run(
    private_server: Start, durable: bool
) -> None:
    server = private_server(durable=durable, appendfsync="always")
    account = on(server)
    epoch = account.store.epoch
    account.admit(COST, epoch=epoch)
    server.kill()
    server.start()
    held = connect(server).dbsize()
    for _ in range(2):
        with pytest.raises(ServerChanged):
            account.admit(COST, epoch=epoch)
    assert connect(server).dbsize() == held
    assert account.store.epoch == epoch + 1
    account.published(account.counter(50, 5))
    assert account.admit(COST, epoch=account.store.epoch).standings[0].used == (70 if durable else 60)


def test_a_reconnect_to_the_same_server_is_no_change(private_server: Start) -> None:
    server = private_server()
    account = on(server)
    epoch = account.store.epoch
    connect(server).client_kill_filter(_type="normal", skipme=True)
    assert account.admit(COST, epoch=epoch).outcome is Outcome.ADMITTED
    assert account.store.epoch == epoch


def test_every_thread_has_a_connection_of_its_own(private_server: Start) -> None:
    server = private_server()
    account = on(server)
    asked, seen = threading.Barrier(9), threading.Barrier(9)
    wrong: list[int] = []

    def work(number: int) -> None:
        for mark in range(50 * number, 50 * (number + 1)):
            if not answered(account, mark, Wants(quota(None), 1)):
                wrong.append(mark)
        asked.wait()
        seen.wait()

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    asked.wait()
    connections = clients_running_scripts(server)
    seen.wait()
    for thread in threads:
        thread.join()
    assert len(connections) == 9  # theirs and this one's
    assert wrong == []
    assert account.used(quota(None)) == 400


def test_a_forked_child_speaks_on_a_connection_of_its_own(private_server: Start) -> None:
    server = private_server()
    account = on(server)
    account.admit(COST)
    answers, answer = os.pipe()
    leave, release = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(answer, b"its own" if answered(account, 1) else b"another's")
            os.read(leave, 1)
        finally:
            os._exit(0)
    os.close(answer)  # or a child that fails would be read from for ever
    assert os.read(answers, 100) == b"its own"
    assert answered(account, 2)
    connections = clients_running_scripts(server)
    os.write(release, b"x")
    os.waitpid(child, 0)
    for descriptor in (answers, leave, release):
        os.close(descriptor)
    assert len(connections) == 2
    assert answered(account, 3)  # the child's end has closed nothing of ours
    assert account.used(quota(100)) == 40


def test_a_call_that_is_broken_off_leaves_no_reply_for_the_next(private_server: Start) -> None:
    server = private_server()
    account = on(server)
    account.admit(COST)

    class BrokenOff(BaseException):
        """As a worker's time limit raises it in the middle of whatever runs."""

    def break_off(*_: object) -> None:
        raise BrokenOff

    previous = signal.signal(signal.SIGALRM, break_off)
    try:
        with stopped(server), pytest.raises(BrokenOff):
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            account.admit(COST, event="nobody knows")
    finally:
        signal.signal(signal.SIGALRM, previous)
    assert answered(account, 1)


def refuse_writes_as_a_replica(server: Valkey) -> None:
    connect(server).execute_command("REPLICAOF", "127.0.0.1", "1")


def refuse_writes_for_memory(server: Valkey) -> None:
    connect(server).config_set("maxmemory", "1")


def refuse_writes_without_replicas(server: Valkey) -> None:
    connect(server).config_set("min-replicas-to-write", "3")


@pytest.mark.parametrize(
    "refuse", [refuse_writes_as_a_replica, refuse_writes_for_memory, refuse_writes_without_replicas]
)
def test_a_server_that_cannot_write_is_unreachable_and_has_changed_nothing(
    private_server: Start, refuse: Callable[[Valkey], None]
) -> None:
    server = private_server()
    account = on(server)
    account.admit(COST, event="first")
    refuse(server)
    before = connect(server).xlen(account.keys.stream)
    calls: list[Callable[[], Any]] = [
        lambda: account.admit(COST),
        lambda: account.void(COST, "first"),
        lambda: account.at(2).published(account.counter(5, 5)),
    ]
    for call in calls:
        with pytest.raises(RedisUnreachable):
            call()
    assert connect(server).xlen(account.keys.stream) == before


def test_a_server_busy_with_another_script_is_unreachable(private_server: Start) -> None:
    server = private_server()
    account = on(server)
    connect(server).config_set("busy-reply-threshold", "1")

    def run_for_ever() -> None:
        with pytest.raises(ResponseError, match="killed"):
            connect(server).eval("while 1 do end", 0)

    forever = threading.Thread(target=run_for_ever)
    forever.start()
    with pytest.raises(RedisUnreachable, match="BUSY"):
        while True:  # until the other script has begun
            account.admit(COST)
    connect(server).script_kill()
    forever.join()
    assert account.admit(Wants(quota(None), 1)).outcome is Outcome.ADMITTED


def test_a_faulty_script_is_an_error_of_ours_and_the_connection_stays(private_server: Start) -> None:
    server = private_server()
    account = on(server)
    account.admit(COST)
    before = clients_running_scripts(server)
    with pytest.raises(ResponseError):
        account.store.run(Command(scripts.ADMIT, [], []))
    assert account.admit(COST).outcome is Outcome.ADMITTED
    assert clients_running_scripts(server) == before
