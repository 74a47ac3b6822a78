"""`make run` in a folder of its own: it answers, it is told how to be reached, and it ends without leaving anything."""

import json
import re
import smtplib
import urllib.request

import psycopg
import pytest

from config.celery import NICENESS
from tests.stack.launcher import Stack, until

pytestmark = pytest.mark.stack


def test_the_login_page_its_style_and_the_inbox_are_served(stack):
    page = stack.get(f"{stack.url}/admin/login/")

    assert "Holdfast" in page
    style = re.search(r'href="(/static/[^"]+\.css)"', page)
    assert style
    assert stack.get(stack.url + style[1])
    assert "<h1>Inbox</h1>" in stack.get(stack.inbox_url)


def test_each_role_reaches_the_database_as_itself(stack):
    addresses = {role: stack.command("env", "--role", role) for role in ("app", "oncall", "auditor", "owner")}

    for role, exports in addresses.items():
        url = re.search(r"export DATABASE_URL='?([^'\n]+)", exports)
        with psycopg.connect(url[1]) as connection:
            assert connection.execute("SELECT current_user").fetchone() == (f"holdfast_{role}",)


def test_the_event_stream_runs_beside_the_web_and_pages_may_reach_it(stack):
    where = json.loads((stack.var / "running.json").read_text())["environment"]["STREAM_URL"]
    asked = urllib.request.Request(
        f"{where}/api/v1/telemetry/stream/", headers={"Authorization": f"Bearer {stack.key}"}
    )

    with urllib.request.urlopen(asked, timeout=20) as stream:
        assert stream.headers["Content-Type"].startswith("text/event-stream")
        assert stream.readline() == b"retry: 3000\n"
    with urllib.request.urlopen(f"{stack.url}/admin/login/") as page:
        assert f"connect-src 'self' {where}" in page.headers["Content-Security-Policy"]


def test_a_key_for_a_service_is_alone_on_the_last_line(stack):
    printed = stack.command("service_key", "create", "--name", "crm", "--scope", "check", **stack.environment)

    assert re.fullmatch(r"hf_[0-9a-f]{12}_[\w-]{43}", printed.splitlines()[-1])


def test_secrets_and_mails_are_for_their_owner_only(stack):
    modes = {path.name: path.stat().st_mode & 0o066 for path in (stack.var, stack.inbox, stack.var / "secrets.json")}

    assert modes == {"var": 0, "inbox": 0, "secrets.json": 0}


@pytest.mark.parametrize("part", ["bulk@holdfast", "celery.beat.Scheduler"], ids=["worker", "beat"])
def test_what_is_killed_is_started_again(stack, part):
    def running():
        return {process for process in stack.processes() if part in process.cmdline()}

    before = running()
    assert before
    for process in before:
        process.kill()

    until(lambda: running() - before, 20, stack.said)
    assert stack.launcher.poll() is None


def test_workers_give_way_to_whoever_opts_out(stack):
    def niceness(part):
        return {process.nice() for process in stack.processes() if part in " ".join(process.cmdline())}

    [web] = niceness("granian")

    assert niceness("events@holdfast") == niceness("critical@holdfast") == {web + NICENESS}


def test_a_killed_launcher_is_cleaned_up_by_the_next_start_and_by_stop(tmp_path):
    first = Stack(tmp_path / "var").start()
    first.kill()
    left = set(first.processes())
    assert left

    second = Stack(tmp_path / "var").start()

    assert not left & set(second.processes())
    assert second.key == first.key

    second.kill()
    second.command("stop")

    assert second.processes() == []


def test_a_second_launcher_is_told_where_the_first_one_runs(stack):
    second = Stack(stack.var)

    with pytest.raises(AssertionError, match=f"It runs already at {re.escape(stack.url)}"):
        second.start()


def test_a_database_of_yours_wins_and_sigterm_leaves_nothing(committed, tmp_path):
    login = f"holdfast_app:{committed.passwords['holdfast_app']}"
    address = committed.admin_url.replace("postgres@/postgres", f"{login}@/holdfast_test")
    stack = Stack(tmp_path / "var", DATABASE_URL=address).start()

    code = stack.terminate()

    assert (code, stack.processes()) == (0, [])
    assert not (stack.var / "postgres").exists()
    with committed.connect("superuser") as connection:
        assert connection.execute("SELECT count(*) FROM config_user WHERE username = 'officer'").fetchone() == (1,)


def test_pending_migrations_ask_for_a_login_that_may_run_them(cluster, tmp_path):
    with psycopg.connect(cluster.admin_url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE empty OWNER holdfast_owner")
    login = f"holdfast_app:{cluster.passwords['holdfast_app']}"
    address = cluster.admin_url.replace("postgres@/postgres", f"{login}@/empty")

    with pytest.raises(AssertionError, match="Set DATABASE_ADMIN_URL"):
        Stack(tmp_path / "var", DATABASE_URL=address).start()


def test_the_inbox_shows_a_mail_as_text_and_nothing_more(stack):
    with smtplib.SMTP("127.0.0.1", int(stack.environment["SMTP_PORT"])) as relay:
        relay.sendmail(
            "from@example.org",
            ["Eve@example.org"],
            'Subject: <script>alert(1)</script>\r\nContent-Type: text/html\r\n\r\n<b>"hello"</b> https://example.org/u/x.',
        )

    (mail,) = stack.mails(to="eve@example.org")
    page = stack.get(f"{stack.inbox_url}/{mail['id']}")

    assert "<script" not in page
    assert "<b>" not in page
    assert "<a href='https://example.org/u/x'>" in page
    assert json.loads(stack.get(f"{stack.inbox_url}/messages.json?to=nobody@example.org")) == []
