"""What runs on one machine and what compose.yaml shows: every queue has its workers, and what all need all have."""

import re

import pytest
import yaml
from django.conf import settings

from config.celery import app
from config.stack.folder import Folder
from config.stack.programs import programs

QUEUES = {queue.name for queue in app.conf.task_queues}
BASE = settings.BASE_DIR


@pytest.fixture
def running(monkeypatch, tmp_path):
    """The command lines of `manage.py up`, by name."""
    for name in ("PORT", "SMTP_PORT", "INBOX_PORT", "STREAM_PORT"):
        monkeypatch.setenv(name, "1")
    return {program.name: program.command for program in programs(Folder(tmp_path))}


@pytest.fixture(scope="module")
def composed():
    return yaml.safe_load((BASE / "compose.yaml").read_text())


def listened(commands):
    """Each queue as often as a worker listens to it."""
    found = [command[command.index("-Q") + 1] for command in commands if "-Q" in command]
    return sorted(queue for queues in found for queue in queues.split(","))


def ours(composed):
    return {name: service for name, service in composed["services"].items() if service.get("image") == "holdfast"}


def test_each_queue_has_one_kind_of_worker_here_and_there(running, composed):
    services = [service["command"] for service in composed["services"].values() if "command" in service]

    assert listened(running.values()) == listened(services) == sorted(QUEUES)


def test_services_are_told_by_a_worker_that_sends_no_mail(running, composed):
    assert listened([running["webhooks"]]) == ["webhooks"]
    assert listened([composed["services"]["worker-webhooks"]["command"]]) == ["webhooks"]


def test_what_comes_back_by_mail_is_received_here_and_there(running, composed):
    assert "receive_mail" in running["incoming"]
    assert "receive_mail" in composed["services"]["incoming"]["command"]


def test_canaries_write_to_what_receives_mail(composed):
    for service in ours(composed).values():
        assert service["environment"]["CANARY_MAIL_AT"] == "incoming:8026"


def test_all_who_take_something_while_the_database_is_away_share_one_folder_that_outlives_them(composed):
    services = ours(composed).values()

    assert len(services) >= 8
    assert {service["environment"]["SPOOL_DIR"] for service in services} == {"/spool"}
    assert all("spool:/spool" in service["volumes"] for service in services)
    assert "spool" in composed["volumes"]
    assert re.search(r"install -d -o holdfast .*/spool", (BASE / "Dockerfile").read_text())


def test_every_setting_can_be_given_to_all_and_none_is_taken_back_by_an_empty_one(composed):
    for service in ours(composed).values():
        assert service["env_file"] == [{"path": "holdfast.env", "required": False}]
        assert not [name for name, value in service["environment"].items() if ":-" in value]


def test_who_serves_does_not_know_the_password_of_who_may_do_everything(composed):
    knowing = {name for name, service in composed["services"].items() if "ADMIN_PASSWORD" in str(service)}

    assert knowing == {"postgres", "provision"}
    assert ".env" not in {file["path"] for service in ours(composed).values() for file in service["env_file"]}
