"""Workers run the functions of the list and nothing else, however it came into the queue or the schedules."""

import inspect
import os
import threading
from datetime import timedelta

import pytest
from django.db import transaction
from django.dispatch import Signal
from django.utils import timezone
from django_q import cluster, core_signing, monitor, pusher, worker
from django_q.conf import Conf
from django_q.models import OrmQ, Schedule, Task
from django_q.queues import Queue
from django_q.signing import SignedPackage
from django_q.tasks import async_task

from connector_project.core import qcluster_stand_ins, qcluster_supervisor, task_list, task_queue
from connector_project.operations import schedules
from connector_project.operations import tasks as operations_tasks
from crm import tasks as crm_tasks
from telephony import tasks as telephony_tasks

pytestmark = [pytest.mark.sql, pytest.mark.django_db, pytest.mark.sampled(3)]
KNOWN = "telephony.tasks.sync_all"
MODULES = (telephony_tasks, crm_tasks, operations_tasks)
RUN = []


def must_not_run(*args):
    RUN.append(args)


class OnUnpickling:
    def __reduce__(self):
        return must_not_run, ("unpickled",)


@pytest.fixture(autouse=True)
def nothing_else_ran(monkeypatch):
    monkeypatch.setattr(worker, "post_spawn", Signal())  # no heartbeats of this process
    RUN.clear()
    yield
    assert RUN == []


@pytest.fixture(params=["database", "redis"])
def broker(request, settings):
    """The broker of the default queue, in the database and in a real Redis."""
    settings.REDIS_URL = ""
    if request.param == "redis":
        redis_server = request.getfixturevalue("redis_server")
        redis_server.flush()
        settings.REDIS_URL = redis_server.url
    task_queue._broker.cache_clear()
    yield task_queue.create_broker("default")
    task_queue._broker.cache_clear()


@pytest.fixture
def _installed(monkeypatch):
    """What `manage.py qcluster` puts in the place of django-q2's parts."""
    for module, name in ((cluster, "Sentinel"), (cluster, "scheduler"), (worker, "pydoc"), (monitor, "save_task")):
        monkeypatch.setattr(module, name, getattr(module, name))
    qcluster_supervisor.install()


def package(func, **changes):
    """Return a signed entry, as `async_task` writes it."""
    task = {"id": "1", "name": "one", "func": func, "args": (), "kwargs": {}, "started": timezone.now()}
    return SignedPackage.dumps(task | {"cluster": "default", "ack_failure": True} | changes)


def sign(text):
    """Sign any text as django-q2 signs its entries."""
    return core_signing.TimestampSigner(key=Conf.SECRET_KEY, salt=Conf.PREFIX).sign(text)


HERE = f"{__name__}.must_not_run"
REFUSED = {
    "function by name": lambda: package(HERE),
    "system": lambda: package("os.system", args=("true",)),
    "function of a tasks module": lambda: package("telephony.tasks.enqueue", args=(1,)),
    "method of a task": lambda: package(f"{KNOWN}.__call__"),
    "no name": lambda: package(None),
    "pickled function": lambda: package(must_not_run),
    "pickled builtin": lambda: package(os.system, args=("true",)),
    "code on unpickling": lambda: package(KNOWN, args=(OnUnpickling(),)),
    "code as the entry": lambda: SignedPackage.dumps(OnUnpickling()),
    "hook": lambda: package(KNOWN, hook=HERE),
    "pickled hook": lambda: package(KNOWN, hook=must_not_run),
    "group": lambda: package(KNOWN, group="one"),
    "chain": lambda: package(KNOWN, chain=[(HERE, (), {})]),
    "iter": lambda: package(KNOWN, group="one", iter_count=2, cached=True),
    "cached": lambda: package(KNOWN, cached=60),
    "in this process": lambda: package(KNOWN, sync=True),
    "saved": lambda: package(KNOWN, save=True),
    "own time-out": lambda: package(KNOWN, timeout=10**6),
    "keyword arguments": lambda: package(KNOWN, kwargs={"task": HERE}),
    "text as an argument": lambda: package(KNOWN, args=("1",)),
    "no arguments": lambda: package(KNOWN, args=None),
    "no time": lambda: package(KNOWN, started="now"),
    "time without a zone": lambda: package(KNOWN, started=timezone.now().replace(tzinfo=None)),
    "list": lambda: SignedPackage.dumps([KNOWN]),
    "signed, no base64": lambda: sign("A"),
    "signed, not compressed": lambda: sign(".AAAA"),
    "signed without a time": lambda: core_signing.Signer(key=Conf.SECRET_KEY, salt=Conf.PREFIX).sign("A"),
}


def work(broker):
    """Take what the queue has and run it, as a cluster does; return the results that its monitor gets."""
    tasks, results, is_over = Queue(), Queue(), threading.Event()
    is_over.set()  # after one look into the queue
    for _entry in range(max(broker.queue_size(), 1)):
        pusher.pusher(tasks, is_over, broker)
    tasks.put("STOP")
    worker.worker(tasks, results, worker.Value("f", -1))
    results.put("STOP")
    return list(iter(lambda: results.get(timeout=5), "STOP"))


def test_list_is_every_public_function_of_the_tasks_modules():
    functions = {
        f"{module.__name__}.{name}"
        for module in MODULES
        for name, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__ and not name.startswith("_")
    }
    assert functions == task_list.TASKS


def test_schedules_are_in_the_list():
    assert schedules.SCHEDULES.keys() <= task_list.TASKS


def test_unknown_function_is_not_queued():
    with transaction.atomic(), pytest.raises(task_queue.UnknownTask):
        task_queue.enqueue("os.system", 1)


@pytest.mark.usefixtures("_installed")
@pytest.mark.parametrize("kind", REFUSED)
def test_refused_entry_is_removed_logged_and_not_run(broker, kind, caplog):
    for payload in (REFUSED[kind](), package(KNOWN)):
        broker.push(payload)
    [done] = work(broker)
    assert (done["func"], done["success"]) == (KNOWN, True)
    broker.acknowledge(done["ack_id"])
    assert (broker.queue_size(), OrmQ.objects.count()) == (0, 0)
    [record] = [record for record in caplog.records if record.levelname == "ERROR"]
    assert "refused" in record.getMessage()


def test_log_names_the_function(broker, caplog):
    broker.push(package("os.system", args=("true",)))
    assert broker.dequeue() is None
    assert "os.system" in caplog.text
    caplog.clear()
    broker.push(package(os.system))
    assert broker.dequeue() is None
    assert f"{os.system.__module__}.system" in caplog.text


def test_entry_of_another_program_is_not_queued(broker, caplog):
    """It may queue by django-q2's own function."""
    for options in ({"hook": HERE}, {"group": "one"}, {"chain": [(HERE, (), {})]}):
        async_task(KNOWN, broker=broker, **options)
    async_task(must_not_run, broker=broker)
    async_task("os.system", "true", broker=broker)
    assert broker.queue_size() == 0
    assert caplog.text.count("refused") >= 5


@pytest.mark.parametrize("change", [lambda payload: payload[:-1] + "!", lambda payload: "x", lambda payload: ""])
def test_entry_with_a_wrong_signature_is_refused_by_django_q(broker, change, caplog):
    broker.push(change(package(KNOWN)))
    assert work(broker) == []
    assert "Failed to push task to queue" in caplog.text
    assert (broker.queue_size(), OrmQ.objects.count()) == (0, 0)


def test_entry_in_a_row_is_refused(settings, caplog):
    """As anybody who may write to the database can put it there, with the key in their hands."""
    settings.REDIS_URL = ""
    row = OrmQ.objects.create(key="default", payload=package(HERE), lock=timezone.now() - timedelta(seconds=1))
    assert work(task_queue.create_broker("default")) == []
    assert not OrmQ.objects.filter(pk=row.pk).exists()
    assert HERE in caplog.text


@pytest.mark.usefixtures("_installed")
def test_worker_imports_nothing_for_an_unknown_name(caplog):
    """Whatever reaches a worker."""
    tasks, results = Queue(), Queue()
    tasks.put(SignedPackage.loads(package(HERE)))
    tasks.put("STOP")
    worker.worker(tasks, results, worker.Value("f", -1))
    done = results.get(timeout=5)
    assert (done["success"], "not defined" in done["result"]) == (False, True)
    assert "refused" in caplog.text


SCHEDULES = {
    "function": {"func": HERE, "name": HERE},
    "hook": {"func": KNOWN, "name": KNOWN, "hook": HERE},
    "arguments": {"func": KNOWN, "name": KNOWN, "args": "1"},
    "options": {"func": KNOWN, "name": KNOWN, "kwargs": f"q_options={{'hook': '{HERE}', 'sync': True}}"},
    "function in this process": {"func": HERE, "name": HERE, "kwargs": "q_options={'sync': True}"},
    "date": {"func": KNOWN, "name": KNOWN, "intended_date_kwarg": "at"},
    "name": {"func": KNOWN, "name": "one"},
}


@pytest.mark.usefixtures("_installed")
@pytest.mark.parametrize("kind", SCHEDULES)
def test_schedule_that_is_none_of_ours_is_removed(broker, kind, caplog):
    Schedule.objects.all().delete()
    other = "crm.tasks.probe_all"
    due = {"next_run": timezone.now() - timedelta(minutes=1), "schedule_type": Schedule.MINUTES, "minutes": 1}
    Schedule.objects.create(**SCHEDULES[kind], **due)
    Schedule.objects.create(func=other, name=other, **due)
    qcluster_supervisor.run_schedules(broker)
    assert [row.func for row in Schedule.objects.all()] == [other]
    assert "a schedule was refused" in caplog.text
    assert [done["func"] for done in work(broker)] == [other]


@pytest.mark.parametrize("kind", ["function", "hook", "options", "function in this process", "date"])
def test_schedule_of_another_program_is_not_queued(broker, kind):
    """It may be written after the others were removed."""
    Schedule.objects.all().delete()
    Schedule.objects.create(**SCHEDULES[kind], next_run=timezone.now() - timedelta(minutes=1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker, "pydoc", qcluster_supervisor.TaskLocator)
        patch.setattr(monitor, "save_task", qcluster_stand_ins.forget_result)
        qcluster_supervisor.scheduler(broker=broker)
    assert broker.queue_size() == 0


@pytest.mark.usefixtures("_installed")
def test_results_are_not_stored_and_call_nothing(broker):
    results = Queue()
    ended = {"stopped": timezone.now(), "result": "failed", "success": False, "hook": HERE, "save": True}
    more = {"chain": [(HERE, (), {})], "group": "one", "sync": False}
    results.put(SignedPackage.loads(package(KNOWN)) | ended | more | {"cached": False})
    results.put("STOP")
    monitor.monitor(results, broker)
    assert (Task.objects.count(), broker.queue_size()) == (0, 0)
