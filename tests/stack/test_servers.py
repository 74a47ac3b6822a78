"""The servers from wheels, where a laptop makes it hard for them."""

import psycopg

from config.stack.servers import Postgres, gone
from config.stack.valkey import Valkey


def test_servers_start_in_a_folder_whose_path_is_too_long_for_a_socket(tmp_path):
    deep = tmp_path / ("a-folder-with-a-long-name/" * 5)
    postgres, valkey = Postgres(deep / "postgres"), Valkey(deep / "valkey")

    postgres.start({})
    valkey.start()

    with psycopg.connect(postgres.get_uri()) as connection:
        assert connection.execute("SHOW listen_addresses").fetchone() == ("",)
    assert valkey.answers()
    postmaster = postgres.postmaster()
    assert postmaster

    postgres.stop()
    valkey.stop()

    assert gone(postmaster)
    assert not valkey.answers()
