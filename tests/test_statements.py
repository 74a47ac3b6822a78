"""A statement that is begun and awaited later answers, or fails in Django's words, and leaves the session usable."""

import pytest
from django.db import DatabaseError, connection, transaction

from config.statements import begin

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(("value", "answer"), [("1", True), ("2", False), (None, False)])
def test_it_answers_yes_or_no_and_nothing_where_nothing_was_given(value, answer):
    end = begin("SELECT $1::int = 1", [value])

    assert end() is answer


def test_the_answer_of_a_statement_that_failed_is_the_error():
    with pytest.raises(DatabaseError, match="division by zero"), transaction.atomic():
        begin("SELECT 1 / $1::int = 1", ["0"])()

    assert begin("SELECT $1 = 'still there'", ["still there"])()


def test_what_is_given_cannot_be_read_as_sql():
    assert begin("SELECT $1::text = chr(39) || ' OR 1=1'", ["' OR 1=1"])()


def test_a_session_that_is_gone_is_an_error_too(committed):
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        end = begin("SELECT pg_terminate_backend($1::int)", [str(cursor.fetchone()[0])])

    with pytest.raises(DatabaseError):
        end()
    connection.close()
