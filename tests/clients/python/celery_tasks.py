"""The tasks that the workers of test_celery.py run. Each counts its runs on the server that is also the broker."""

import os
import time

import redis
from celery import Celery

URL = f"redis://127.0.0.1:{os.environ['BROKER_PORT']}"

app = Celery("workloads", broker=f"{URL}/0", backend=f"{URL}/1")
app.conf.update(
    broker_connection_retry_on_startup=True,
    broker_transport_options={
        "queue_order_strategy": "priority",
        # A message that is not acknowledged so long goes to another worker; these look for such at short intervals.
        "visibility_timeout": int(os.environ.get("VISIBILITY_TIMEOUT_S", "3600")),
        "unacked_restore_interval": 0.5,
        "unacked_restore_throttle": 1,
    },
    result_extended=True,
    task_track_started=True,
    worker_prefetch_multiplier=1,
    worker_send_task_events=True,
    task_send_sent_event=True,
)

# Beside the broker and the results.
record = redis.Redis.from_url(f"{URL}/2", decode_responses=True)


@app.task(bind=True)
def add(self, a, b):
    record.hincrby("runs", self.request.id, 1)
    record.hincrby("workers", self.request.hostname, 1)
    return a + b


@app.task
def total(numbers):
    record.incr("totals")
    return sum(numbers)


@app.task
def note(text):
    """Writes down that it ran, and when."""
    record.rpush("notes", f"{text} {time.time()}")
    return text


@app.task
def fail(text):
    raise ValueError(text)


@app.task
def note_failure(request, error, traceback):
    record.rpush("failures", str(error))


@app.task(bind=True, max_retries=5)
def retried(self, succeeds_at, pause_s):
    record.rpush(f"attempts:{self.request.id}", time.time())
    if self.request.retries + 1 < succeeds_at:
        raise self.retry(exc=ValueError(f"attempt {self.request.retries}"), countdown=pause_s)
    return self.request.retries


@app.task(autoretry_for=(KeyError,), retry_kwargs={"max_retries": 2, "countdown": 0})
def never_works():
    record.incr("never works")
    raise KeyError("as always")


@app.task
def sleep(seconds):
    record.incr("asleep")
    time.sleep(seconds)
    record.incr("awake")


@app.task(acks_late=True)
def hangs_once(seconds):
    run = record.incr("runs")
    if run == 1:
        time.sleep(seconds)
    return run


@app.task(bind=True)
def progress(self, steps):
    for step in range(steps):
        self.update_state(state="PROGRESS", meta={"step": step})
        until_told = f"step:{self.request.id}:{step}"
        assert record.blpop(until_told, timeout=20), "nobody looked"
    return steps


@app.task(ignore_result=True)
def without_result():
    record.incr("without result")
