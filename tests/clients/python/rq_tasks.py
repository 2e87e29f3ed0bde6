"""The functions that the workers of test_rq.py run. What each did is written to the server that also has the queues."""

import os
import time

import redis
from rq import get_current_job

RECORD_DATABASE = 5


def record():
    port = int(os.environ["QUEUE_PORT"])
    return redis.Redis(port=port, db=RECORD_DATABASE, decode_responses=True)


def double(number):
    job = get_current_job()
    with record() as client:
        client.hincrby("runs", job.id, 1)
        client.hincrby("workers", job.worker_name, 1)
    return 2 * number


def note(text):
    with record() as client:
        client.rpush("notes", f"{text} {time.time()}")
    return text


def fail(text):
    raise ValueError(text)


def works_the_third_time():
    with record() as client:
        if (attempt := client.incr("attempts")) < 3:
            raise ValueError(f"attempt {attempt}")
        return attempt


def sum_of_dependencies():
    job = get_current_job()
    return sum(dependency.return_value() for dependency in job.fetch_dependencies())


def sleep(seconds):
    with record() as client:
        client.incr("asleep")
        time.sleep(seconds)
        client.incr("awake")


def hangs_once(seconds):
    with record() as client:
        if client.set("first", os.getpid(), nx=True):
            time.sleep(seconds)
        client.incr("again")


def overlap(seconds):
    """Writes down how many run at once."""
    with record() as client:
        client.rpush("at work", client.incr("now"))
        time.sleep(seconds)
        client.decr("now")


def succeeded(job, connection, result, *more):
    with record() as client:
        client.rpush("callbacks", f"success {result}")


def failed(job, connection, kind, value, traceback):
    with record() as client:
        client.rpush("callbacks", f"failure {value}")
