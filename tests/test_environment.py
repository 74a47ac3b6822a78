"""What operators type is read as they meant it, or refused by name with the cure, without repeating a secret."""

import os
import subprocess
import sys

import pytest
from django.core.exceptions import ImproperlyConfigured

from config.environment import Environment


@pytest.fixture
def said(monkeypatch):
    def say(value):
        monkeypatch.setenv("SAID", value)
        return Environment()

    return say


@pytest.mark.parametrize(
    ("value", "default", "meant"),
    [
        ("1", False, True), ("Yes", False, True), (" on ", False, True), ("0", True, False), ("OFF", True, False),
        ("", True, True), ("  ", False, False),
    ],
)  # fmt: skip
def test_a_yes_is_a_yes_a_no_a_no_and_nothing_the_default(said, value, default, meant):
    assert said(value).bool("SAID", default=default) is meant


@pytest.mark.parametrize("value", ["ture", "flase", "2", "yes please"])
def test_what_is_neither_is_never_taken_for_a_no(said, value):
    with pytest.raises(ImproperlyConfigured, match=r"^SAID cannot be read\. Say 1 for yes or 0 for no\.$"):
        said(value).bool("SAID", default=True)


def test_numbers_come_without_a_unit(said):
    assert said(" 35 ").int("SAID") == 35
    assert said("").int("SAID", default=7) == 7
    assert said("0.5").float("SAID") == 0.5
    for value, read in [("10MB", Environment.int), ("1.5", Environment.int), ("1s", Environment.float)]:
        with pytest.raises(ImproperlyConfigured, match="without a unit"):
            read(said(value), "SAID")


def test_blanks_in_a_list_do_not_count(said):
    assert said(" a.example , b.example,,").list("SAID") == ["a.example", "b.example"]
    assert said("").list("SAID", default=["here"]) == ["here"]
    assert said("gw=whsec_a=, other = b").dict("SAID") == {"gw": "whsec_a=", "other": "b"}


@pytest.mark.parametrize("value", ["gw", "gw=", "=whsec_secret"])
def test_a_pair_that_is_none_is_refused_and_not_repeated(said, value):
    with pytest.raises(ImproperlyConfigured, match="name=value") as refused:
        said(value).dict("SAID")

    assert value not in str(refused.value).replace("name=value", "")


def test_one_of_several_words_in_letters_of_any_size(said):
    assert said("info").one_of("SAID", ["INFO", "ERROR"], "ERROR") == "INFO"
    assert said("").one_of("SAID", ["INFO", "ERROR"], "ERROR") == "ERROR"
    with pytest.raises(ImproperlyConfigured, match="one of INFO, ERROR"):
        said("loud").one_of("SAID", ["INFO", "ERROR"], "ERROR")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("SECURE", "ture", "1 for yes or 0 for no"),
        ("RECEIVE_MAIL_SIZE", "10MB", "a whole number"),
        ("DATABASE_URL", "postgres//holdfast@db", "DATABASE_URL must be postgresql://"),
        ("LOG_LEVEL", "loud", "one of DEBUG, INFO"),
    ],
)
def test_a_wrong_setting_ends_the_start_with_its_name_and_cure(name, value, words):
    done = subprocess.run(
        [sys.executable, "-c", "import config.settings"],
        env=os.environ | {"DEBUG": "1", name: value},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert name in done.stderr.splitlines()[-1]
    assert words in done.stderr.splitlines()[-1]
