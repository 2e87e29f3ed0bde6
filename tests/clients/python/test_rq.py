"""RQ's queues, registries, dependencies, schedules and workers do with Nuthatch what they do with Redis."""

import os
import signal
import subprocess
import sys
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import redis
import rq_tasks
from conftest import until
from rq import Callback, Queue, RateLimit, Repeat, Retry, Worker
from rq.command import send_stop_job_command
from rq.exceptions import DuplicateJobError
from rq.group import Group
from rq.job import Job, JobStatus

HERE = Path(__file__).parent
WITHIN_S = 30
CLOCKS_S = 0.05


@pytest.fixture
def connection(own_port):
    with redis.Redis(port=own_port) as client:
        client.flushall()
        yield client


@pytest.fixture
def record(connection, own_port, monkeypatch):
    monkeypatch.setenv("QUEUE_PORT", str(own_port))
    with rq_tasks.record() as client:
        yield client


@pytest.fixture
def queue(connection, record):
    return Queue("work", connection=connection)


@pytest.fixture
def start_worker(own_port, record, tmp_path):
    """A function that starts a worker process; what still runs ends with the test."""
    started = []

    def start(*options):
        program = [sys.executable, "-c", "from rq.cli import main; main()", "worker"]
        where = ["--url", f"redis://127.0.0.1:{own_port}", "--path", str(HERE)]
        log = tmp_path / str(len(started))
        with open(log, "wb") as output:
            process = subprocess.Popen(
                [*program, *where, *options],
                cwd=tmp_path,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        process.log = log
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.terminate()
    for process in started:
        process.wait(timeout=WITHIN_S)


@pytest.fixture
def burst(start_worker):
    """A function that has workers do what is in the queues."""

    def burst(*options, workers=1):
        processes = [start_worker("--burst", *(options or ["work"])) for _ in range(workers)]
        for process in processes:
            assert process.wait(timeout=WITHIN_S) == 0, process.log.read_text()

    return burst


def noted(record):
    return [(text, float(at)) for text, at in (line.rsplit(" ", 1) for line in record.lrange("notes", 0, -1))]


def test_every_job_runs_once(queue, record, burst):
    jobs = [queue.enqueue(rq_tasks.double, number) for number in range(60)]
    jobs += queue.enqueue_many([Queue.prepare_data(rq_tasks.double, (number,)) for number in range(60, 100)])
    assert len(queue) == 100 and queue.job_ids == [job.id for job in jobs]
    assert queue.get_job_position(jobs[7]) == 7
    burst(workers=3)
    assert len(queue) == 0
    assert [job.return_value(refresh=True) for job in jobs] == [2 * number for number in range(100)]
    assert record.hgetall("runs") == {job.id: "1" for job in jobs}
    assert sum(map(int, record.hvals("workers"))) == 100 and record.hlen("workers") == 3
    assert set(queue.finished_job_registry.get_job_ids()) == {job.id for job in jobs}
    assert all(job.get_status() is JobStatus.FINISHED for job in jobs)
    assert queue.started_job_registry.count == 0 and Worker.all(connection=queue.connection) == []


def test_order_of_jobs_and_of_queues(connection, record, burst):
    high, low = Queue("high", connection=connection), Queue("low", connection=connection)
    for number in range(3):
        low.enqueue(rq_tasks.note, f"low {number}")
        high.enqueue(rq_tasks.note, f"high {number}")
    low.enqueue(rq_tasks.note, "low, in front", at_front=True)
    burst("high", "low")
    expected = ["high 0", "high 1", "high 2", "low, in front", "low 0", "low 1", "low 2"]
    assert [text for text, _ in noted(record)] == expected


def test_a_worker_that_waits_takes_what_comes(queue, record, start_worker):
    worker = start_worker("work", "--name", "waiting")
    until(lambda: Worker.count(queue=queue) == 1, "the worker", WITHIN_S)
    results = []
    for number in range(5):
        job = queue.enqueue(rq_tasks.double, number)
        # Blocks on the stream of the job's results.
        result = job.latest_result(timeout=WITHIN_S)
        results.append((result.type, result.return_value))
    assert results == [(result.type.SUCCESSFUL, 2 * number) for number in range(5)]
    assert Worker.find_by_key("rq:worker:waiting", connection=queue.connection).successful_job_count == 5
    worker.terminate()
    assert worker.wait(timeout=WITHIN_S) == 0
    assert Worker.count(queue=queue) == 0


def test_failures(queue, record, burst):
    job = queue.enqueue(rq_tasks.fail, "broken")
    burst()
    registry = queue.failed_job_registry
    assert registry.get_job_ids() == [job.id]
    assert job.get_status() is JobStatus.FAILED
    assert "ValueError: broken" in job.latest_result().exc_string
    registry.requeue(job)
    assert registry.count == 0 and queue.job_ids == [job.id]
    burst()
    assert registry.get_job_ids() == [job.id] and len(job.results()) == 2
    registry.remove(job, delete_job=True)
    assert not Job.exists(job.id, connection=queue.connection)


def test_retries(queue, record, burst):
    job = queue.enqueue(rq_tasks.works_the_third_time, retry=Retry(max=2))
    burst()
    assert job.return_value(refresh=True) == 3
    record.delete("attempts")
    short = queue.enqueue(rq_tasks.works_the_third_time, retry=Retry(max=1))
    burst()
    assert record.get("attempts") == "2" and short.get_status() is JobStatus.FAILED


def test_dependencies(queue, record, burst):
    first = [queue.enqueue(rq_tasks.double, number) for number in range(5)]
    middle = queue.enqueue(rq_tasks.sum_of_dependencies, depends_on=first)
    last = queue.enqueue(rq_tasks.sum_of_dependencies, depends_on=[middle, first[4]])
    broken = queue.enqueue(rq_tasks.fail, "on the way")
    orphan = queue.enqueue(rq_tasks.note, "never", depends_on=broken)
    assert set(queue.deferred_job_registry.get_job_ids()) == {middle.id, last.id, orphan.id}
    burst()
    assert middle.return_value(refresh=True) == 20 and last.return_value(refresh=True) == 28
    assert queue.deferred_job_registry.get_job_ids() == [orphan.id]
    assert noted(record) == []


def test_groups(queue, record, burst):
    group = Group.create(connection=queue.connection, name="group")
    group.enqueue_many(queue, [Queue.prepare_data(rq_tasks.double, (number,)) for number in range(10)])
    burst()
    jobs = Group.fetch("group", connection=queue.connection).get_jobs()
    assert sorted(job.return_value() for job in jobs) == [2 * number for number in range(10)]


def test_callbacks(queue, record, burst):
    calls = {"on_success": Callback(rq_tasks.succeeded), "on_failure": Callback(rq_tasks.failed)}
    queue.enqueue(rq_tasks.double, 21, **calls)
    queue.enqueue(rq_tasks.fail, "broken", **calls)
    burst()
    assert record.lrange("callbacks", 0, -1) == ["success 42", "failure broken"]


def test_scheduled_jobs(queue, record, start_worker):
    now = time.time()
    queue.enqueue_in(timedelta(seconds=2), rq_tasks.note, "second")
    queue.enqueue_at(datetime.now(timezone.utc) + timedelta(seconds=1), rq_tasks.note, "first")
    cancelled = queue.enqueue_in(timedelta(seconds=1), rq_tasks.note, "never")
    queue.enqueue(rq_tasks.note, "at once")
    repeated = queue.enqueue(rq_tasks.double, 4, repeat=Repeat(times=2, interval=1))
    assert queue.scheduled_job_registry.count == 3
    cancelled.cancel()
    assert queue.canceled_job_registry.get_job_ids() == [cancelled.id]
    start_worker("work", "--with-scheduler")
    until(lambda: record.llen("notes") == 3, "the last note", WITHIN_S)
    until(lambda: record.hget("runs", repeated.id) == "3", "the last repetition", WITHIN_S)
    assert [text for text, _ in noted(record)] == ["at once", "first", "second"]
    for (text, at), after in zip(noted(record), [0, 1, 2], strict=True):
        # The schedule is in whole seconds.
        assert at - now >= after - 1 - CLOCKS_S, text
    assert queue.scheduled_job_registry.count == 0


def test_a_job_is_stopped(queue, record, start_worker):
    start_worker("work")
    job = queue.enqueue(rq_tasks.sleep, 60)
    until(lambda: record.get("asleep") == "1", "the start of the job", WITHIN_S)
    send_stop_job_command(queue.connection, job.id)
    until(lambda: job.get_status() is JobStatus.STOPPED, "the end of the job", WITHIN_S)
    assert record.get("awake") is None and queue.failed_job_registry.get_job_ids() == [job.id]


def test_a_job_whose_worker_was_killed_is_done_again(queue, record, start_worker, burst):
    worker = start_worker("work")
    job = queue.enqueue(rq_tasks.hangs_once, 60, retry=Retry(max=1))
    # The job has a process, and that a group, of its own.
    horse = int(until(lambda: record.get("first"), "the start of the job", WITHIN_S))
    os.killpg(worker.pid, signal.SIGKILL)
    os.kill(horse, signal.SIGKILL)
    assert queue.started_job_registry.count == 1
    queue.started_job_registry.cleanup(timestamp=time.time() + 3600)
    burst()
    assert record.get("again") == "1" and job.get_status() is JobStatus.FINISHED


def test_a_limit_on_what_runs_at_once(queue, record, burst):
    limit = RateLimit(key="few", concurrency=2)
    jobs = [queue.enqueue(rq_tasks.overlap, 0.02, rate_limit=limit) for _ in range(20)]
    assert len(queue) == 2
    burst(workers=3)
    # A worker leaves when nothing may run, so that others do the rest.
    burst()
    assert all(job.get_status() is JobStatus.FINISHED for job in jobs)
    at_work = [int(count) for count in record.lrange("at work", 0, -1)]
    assert len(at_work) == 20 and max(at_work) <= 2


def test_unique_jobs_and_empty_queues(queue, record, burst):
    queue.enqueue(rq_tasks.double, 1, job_id="one", unique=True)
    with pytest.raises(DuplicateJobError):
        queue.enqueue(rq_tasks.double, 1, job_id="one", unique=True)
    assert queue.count == 1
    for number in range(50):
        queue.enqueue(rq_tasks.double, number)
    assert queue.empty() == 51
    assert queue.count == 0 and list(queue.connection.scan_iter("rq:job:*")) == []
    queue.enqueue(rq_tasks.double, 1)
    queue.delete(delete_jobs=True)
    assert Queue.all(connection=queue.connection) == []
