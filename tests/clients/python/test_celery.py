"""Celery's tasks, groups, chains, chords, times, retries and control commands do with Nuthatch what they do with Redis;
it is the broker and keeps the results for real worker processes."""

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from celery import chain, chord, group
from celery.exceptions import TaskRevokedError
from celery.result import allow_join_result
from conftest import until

WITHIN_S = 30

# How far a timer may be early by the clocks that are compared.
CLOCKS_S = 0.05


class Workers:
    """Worker processes that end with the tests."""

    def __init__(self, port, logs):
        self.environment = {**os.environ, "BROKER_PORT": str(port)}
        self.logs = logs
        self.processes = {}

    def start(self, name, *options, **environment):
        command = [sys.executable, "-m", "celery", "-A", "celery_tasks", "worker", "--loglevel=WARNING"]
        command += ["-n", f"{name}@test", *options]
        with open(self.logs / name, "wb") as log:
            self.processes[name] = subprocess.Popen(
                command,
                cwd=Path(__file__).parent,
                env=self.environment | environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def signal(self, name, number):
        """For the whole group of a worker's processes."""
        process = self.processes.pop(name)
        os.killpg(process.pid, number)
        process.wait(timeout=WITHIN_S)

    def stop(self):
        for process in self.processes.values():
            process.terminate()
        for name, process in self.processes.items():
            assert process.wait(timeout=WITHIN_S) == 0, (self.logs / name).read_text()


@pytest.fixture(scope="module")
def workers(own_port, tmp_path_factory):
    os.environ["BROKER_PORT"] = str(own_port)
    workers = Workers(own_port, tmp_path_factory.mktemp("workers"))
    workers.start("one", "-c", "2")
    workers.start("two", "-c", "2")
    yield workers
    workers.stop()


@pytest.fixture(scope="module")
def tasks(workers):
    import celery_tasks

    names = {"one@test", "two@test"}
    until(lambda: set(celery_tasks.app.control.inspect(timeout=0.5).ping() or ()) == names, "the workers", WITHIN_S)
    yield celery_tasks
    # Results that nobody asked for unsubscribe when they are collected: let that be while the server is there.
    for waited_for in celery_tasks.app.backend._pending_results:
        waited_for.clear()
    gc.collect()
    celery_tasks.app.close()


@pytest.fixture(autouse=True)
def record(tasks):
    tasks.record.flushdb()
    return tasks.record


def noted(record):
    """What was noted, in order, with the times."""
    return [(text, float(at)) for text, at in (line.rsplit(" ", 1) for line in record.lrange("notes", 0, -1))]


def test_every_task_runs_once_and_gives_its_result(tasks, record):
    results = [tasks.add.delay(number, number) for number in range(300)]
    assert [result.get(timeout=WITHIN_S) for result in results] == [2 * number for number in range(300)]
    assert record.hgetall("runs") == {result.id: "1" for result in results}
    workers = record.hgetall("workers")
    assert sorted(workers) == ["one@test", "two@test"] and sum(map(int, workers.values())) == 300
    assert results[7].state == "SUCCESS" and results[7].args == [7, 7] and results[7].name == "celery_tasks.add"
    results[7].forget()
    assert tasks.app.AsyncResult(results[7].id).state == "PENDING"


def test_many_producers(tasks, record):
    found = {}

    def produce(producer):
        with allow_join_result():
            results = [tasks.add.delay(producer, number) for number in range(25)]
            found[producer] = [result.get(timeout=WITHIN_S) for result in results]

    threads = [threading.Thread(target=produce, args=(producer,)) for producer in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {producer: [producer + number for number in range(25)] for producer in range(8)}
    assert record.hlen("runs") == 200 and set(record.hvals("runs")) == {"1"}


def test_errors_come_back(tasks):
    result = tasks.fail.delay("broken")
    with pytest.raises(ValueError, match="broken"):
        result.get(timeout=WITHIN_S)
    assert result.state == "FAILURE" and "ValueError: broken" in result.traceback


def test_groups(tasks):
    result = group(tasks.add.s(number, 1) for number in range(50)).apply_async()
    assert result.get(timeout=WITHIN_S) == [number + 1 for number in range(50)]
    assert result.completed_count() == 50
    result.save()
    restored = tasks.app.GroupResult.restore(result.id)
    assert [child.id for child in restored] == [child.id for child in result]
    assert restored.get(timeout=WITHIN_S) == result.get()
    restored.delete()
    assert tasks.app.GroupResult.restore(result.id) is None


def test_chains(tasks):
    result = chain(tasks.add.s(1, 2), *(tasks.add.s(number) for number in range(10))).apply_async()
    assert result.get(timeout=WITHIN_S) == 48
    parents = []
    while result := result.parent:
        parents.append(result.get(timeout=WITHIN_S))
    assert parents == [39, 31, 24, 18, 13, 9, 6, 4, 3, 3]


def test_a_chain_ends_with_the_first_failure(tasks, record):
    result = chain(tasks.fail.si("here"), tasks.note.si("never")).apply_async()
    with pytest.raises(ValueError, match="here"):
        result.get(timeout=WITHIN_S)
    assert noted(record) == []


def test_chords(tasks, record):
    results = [chord(tasks.add.s(number, part) for number in range(40))(tasks.total.s()) for part in range(5)]
    assert [result.get(timeout=WITHIN_S) for result in results] == [780 + 40 * part for part in range(5)]
    assert record.get("totals") == "5"
    assert record.hlen("runs") == 200 and set(record.hvals("runs")) == {"1"}
    # What counts a chord's results goes with it.
    backend = tasks.app.backend.client
    until(lambda: not list(backend.scan_iter("celery-taskset-meta-*.j")), "the end of the chords' counters")


def test_chords_within_chains(tasks):
    numbers = group(tasks.add.s(number) for number in range(10))
    tree = chain(tasks.add.s(1, 1), numbers, tasks.total.s(), tasks.add.s(100))
    assert tree.apply_async().get(timeout=WITHIN_S) == 165
    nested = chord([chord([tasks.add.s(1, 2), tasks.add.s(3, 4)], tasks.total.s()), tasks.add.s(5, 6)], tasks.total.s())
    assert nested.apply_async().get(timeout=WITHIN_S) == 21


def test_a_chord_fails_with_its_parts(tasks, record):
    parts = [tasks.add.s(1, 1), tasks.fail.s("one part"), tasks.add.s(2, 2)]
    result = chord(parts)(tasks.total.s().on_error(tasks.note_failure.s()))
    with pytest.raises(Exception, match="one part"):
        result.get(timeout=WITHIN_S)
    until(lambda: record.llen("failures") == 1, "the call on the error")
    assert "one part" in record.lindex("failures", 0)
    assert record.get("totals") is None


def test_callbacks(tasks, record):
    tasks.note.apply_async(args=["first"], link=tasks.note.s()).get(timeout=WITHIN_S)
    until(lambda: record.llen("notes") == 2, "the callback")
    assert [text for text, _ in noted(record)] == ["first", "first"]
    tasks.fail.apply_async(args=["linked"], link_error=tasks.note_failure.s())
    until(lambda: record.llen("failures") == 1, "the call on the error")
    assert record.lindex("failures", 0) == "linked"


def test_tasks_wait_until_they_are_due(tasks, record):
    now = time.time()
    for text, after in [("third", 1.5), ("first", 0.5)]:
        tasks.note.apply_async(args=[text], countdown=after)
    tasks.note.apply_async(args=["second"], eta=datetime.now(timezone.utc) + timedelta(seconds=1))
    tasks.note.delay("at once")
    until(lambda: record.llen("notes") == 4, "the last task")
    notes = noted(record)
    assert [text for text, _ in notes] == ["at once", "first", "second", "third"]
    for (text, at), after in zip(notes, [0, 0.5, 1, 1.5], strict=True):
        assert at - now >= after - CLOCKS_S, text


def test_expired_tasks_do_not_run(tasks, record):
    result = tasks.note.apply_async(args=["too late"], countdown=0.5, expires=0.2)
    with pytest.raises(TaskRevokedError):
        result.get(timeout=WITHIN_S)
    assert result.state == "REVOKED" and noted(record) == []


def test_retries(tasks, record):
    result = tasks.retried.delay(4, 0.2)
    assert result.get(timeout=WITHIN_S) == 3
    times = [float(at) for at in record.lrange(f"attempts:{result.id}", 0, -1)]
    assert len(times) == 4
    assert all(later - earlier >= 0.2 - CLOCKS_S for earlier, later in zip(times, times[1:]))
    with pytest.raises(ValueError, match="attempt 5"):
        tasks.retried.delay(100, 0).get(timeout=WITHIN_S)
    with pytest.raises(KeyError, match="as always"):
        tasks.never_works.delay().get(timeout=WITHIN_S)
    assert record.get("never works") == "3"


def test_states_of_a_task_at_work(tasks, record):
    result = tasks.progress.delay(3)
    for step in range(3):
        until(lambda: result.state == "PROGRESS" and result.info == {"step": step}, f"step {step}")
        record.rpush(f"step:{result.id}:{step}", "seen")
    assert result.get(timeout=WITHIN_S) == 3


def test_no_result_where_none_is_wanted(tasks, record):
    result = tasks.without_result.delay()
    until(lambda: record.get("without result") == "1", "the task")
    assert result.state == "PENDING"


def test_revoked_before_they_start(tasks, record):
    results = [tasks.note.apply_async(args=[str(number)], countdown=1) for number in range(6)]
    tasks.app.control.revoke([result.id for result in results[:3]])
    for result in results[:3]:
        with pytest.raises(TaskRevokedError):
            result.get(timeout=WITHIN_S)
    assert [result.get(timeout=WITHIN_S) for result in results[3:]] == ["3", "4", "5"]
    assert sorted(text for text, _ in noted(record)) == ["3", "4", "5"]


def test_revoked_while_they_run(tasks, record):
    result = tasks.sleep.delay(60)
    until(lambda: record.get("asleep") == "1", "the start of the task")
    active = until(lambda: tasks.app.control.inspect(timeout=0.5).active(), "the workers' answers")
    assert [task["id"] for running in active.values() for task in running] == [result.id]
    result.revoke(terminate=True)
    with pytest.raises(TaskRevokedError):
        result.get(timeout=WITHIN_S)
    assert record.get("awake") is None


def test_control_of_the_workers(tasks, record):
    control = tasks.app.control
    names = ["one@test", "two@test"]
    replies = control.broadcast("ping", reply=True, timeout=1)
    assert sorted(name for reply in replies for name in reply) == names
    registered = control.inspect(timeout=1).registered()
    assert all("celery_tasks.add" in registered[name] for name in names)
    # Nobody listens to the queue until one is told to.
    result = tasks.note.apply_async(args=["elsewhere"], queue="elsewhere")
    assert not result.ready()
    control.add_consumer("elsewhere", destination=["two@test"], reply=True)
    assert result.get(timeout=WITHIN_S) == "elsewhere"
    control.cancel_consumer("elsewhere", destination=["two@test"], reply=True)
    # Purged is what nobody took.
    for _ in range(7):
        tasks.note.apply_async(args=["purged"], queue="nobody")
    with tasks.app.connection_for_write() as connection:
        assert connection.default_channel.queue_purge("nobody") == 7


def test_events(tasks):
    heard = []

    def listen():
        receiver.capture(limit=None, timeout=None, wakeup=True)

    with tasks.app.connection_for_read() as connection:
        receiver = tasks.app.events.Receiver(connection, handlers={"*": heard.append})
        thread = threading.Thread(target=listen)
        thread.start()
        try:
            until(lambda: {event["hostname"] for event in list(heard)} >= {"one@test", "two@test"}, "the heartbeats")
            ids = {tasks.add.delay(number, 0).id for number in range(10)}
            for kind in ("task-received", "task-started", "task-succeeded"):
                until(lambda: {event["uuid"] for event in list(heard) if event["type"] == kind} >= ids, kind)
        finally:
            receiver.should_stop = True
            thread.join()


def test_urgent_tasks_first(tasks, workers, record):
    for number in range(10):
        tasks.note.apply_async(args=[f"usual {number}"], queue="urgency", priority=6)
    for number in range(10):
        tasks.note.apply_async(args=[f"urgent {number}"], queue="urgency", priority=0)
    workers.start("urgency", "-c", "1", "-Q", "urgency", "-P", "solo", "--without-mingle", "--without-gossip")
    until(lambda: record.llen("notes") == 20, "the last task", WITHIN_S)
    expected = [f"{kind} {number}" for kind in ("urgent", "usual") for number in range(10)]
    assert [text for text, _ in noted(record)] == expected
    workers.signal("urgency", signal.SIGTERM)


def test_tasks_of_a_killed_worker_go_to_another(tasks, workers, record):
    options = ["-c", "1", "-Q", "fragile", "--without-mingle", "--without-gossip"]
    workers.start("victim", *options, VISIBILITY_TIMEOUT_S="3")
    result = tasks.hangs_once.apply_async(args=[60], queue="fragile")
    until(lambda: record.get("runs") == "1", "the start of the task", WITHIN_S)
    assert result.state == "STARTED"
    workers.signal("victim", signal.SIGKILL)
    workers.start("heir", *options, VISIBILITY_TIMEOUT_S="3")
    # An heir that is slower than the time after which it would have been taken for lost itself runs it once more.
    assert result.get(timeout=WITHIN_S) >= 2
    workers.signal("heir", signal.SIGTERM)
