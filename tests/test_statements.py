"""A statement that answers yes or no does so, or fails in Django's words, and leaves the session usable."""

import pytest
from django.db import DatabaseError, connection, transaction

from config.statements import ask

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(("value", "answer"), [("1", (True, False)), ("2", (False, True)), (None, (False, False))])
def test_it_answers_yes_or_no_and_no_where_nothing_was_given(value, answer):
    assert ask("SELECT $1::int = 1, $1::int = 2", [value]) == answer


def test_the_answer_of_a_statement_that_failed_is_the_error():
    with pytest.raises(DatabaseError, match="division by zero"), transaction.atomic():
        ask("SELECT 1 / $1::int = 1", ["0"])

    assert ask("SELECT $1 = 'still there'", ["still there"]) == (True,)


def test_what_is_given_cannot_be_read_as_sql():
    assert ask("SELECT $1::text = chr(39) || ' OR 1=1'", ["' OR 1=1"]) == (True,)


def test_a_session_that_is_gone_is_an_error_too(committed):
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        own = str(cursor.fetchone()[0])

    with pytest.raises(DatabaseError):
        ask("SELECT pg_terminate_backend($1::int)", [own])
    connection.close()
